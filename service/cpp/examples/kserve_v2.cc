// Channel sums of two particles, with plain messages of the Open Inference Protocol (KServe v2), as sent by CMS SONIC
// and other clients of Triton. Usage: kserve_v2 [host:port] [model]
#include <grpcpp/grpcpp.h>

#include <chrono>
#include <cstdint>
#include <cstring>
#include <iostream>
#include <string>
#include <vector>

#include "inference.grpc.pb.h"

namespace {

// Tensors are sent as little-endian bytes in C order, which is the memory layout on x86-64 and AArch64.
template <class T>
void add_input(inference::ModelInferRequest& request, const char* name, const char* datatype,
               const std::vector<std::int64_t>& shape, const std::vector<T>& values) {
  auto& input = *request.add_inputs();
  input.set_name(name);
  input.set_datatype(datatype);
  for (const std::int64_t size : shape) input.add_shape(size);
  request.add_raw_input_contents(values.data(), values.size() * sizeof(T));
}

}  // namespace

int main(int argc, char** argv) {
  const std::string address = argc > 1 ? argv[1] : "127.0.0.1:8001";
  const auto channel = grpc::CreateChannel(address, grpc::InsecureChannelCredentials());
  const auto stub = inference::GRPCInferenceService::NewStub(channel);

  inference::ModelInferRequest request;
  request.set_model_name(argc > 2 ? argv[2] : "zn-fast");
  // energy [GeV], vx, vy, vz [cm], px, py, pz [GeV/c], mass [MeV], charge [e]
  add_input<float>(request, "particles", "FP32", {2, 9},
                   {1500.0003f, 0, 0, 2, 0.1f, 0, 1500, 939.5654f, 0,  //
                    300, 0, 0, 0, 0, 0.02f, 300, 0, 0});
  add_input<std::int64_t>(request, "pdg", "INT64", {2}, {2112, 22});
  request.add_outputs()->set_name("channels");
  (*request.mutable_parameters())["seed"].set_int64_param(7);

  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(10));
  inference::ModelInferResponse reply;
  const grpc::Status status = stub->ModelInfer(&context, request, &reply);
  if (!status.ok()) {
    std::cerr << status.error_message() << '\n';
    return 1;
  }
  if (reply.raw_output_contents_size() != 1 || reply.outputs_size() != 1 || reply.outputs(0).shape_size() != 2) {
    std::cerr << "the reply does not have exactly the requested output\n";
    return 1;
  }
  const std::string& bytes = reply.raw_output_contents(0);
  std::vector<float> sums(bytes.size() / sizeof(float));
  std::memcpy(sums.data(), bytes.data(), sums.size() * sizeof(float));
  const auto channels = static_cast<std::size_t>(reply.outputs(0).shape(1));
  for (std::size_t i = 0; i < sums.size(); ++i) std::cout << sums[i] << ((i + 1) % channels ? " " : "\n");
}
