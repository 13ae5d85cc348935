// Two particles to channel sums over gRPC, with the messages that protoc makes from proto/zdc/v1/simulation.proto.
// The README has the commands that build it. Usage: example [host:port]
#include <grpcpp/grpcpp.h>

#include <chrono>
#include <cstdint>
#include <cstring>
#include <iostream>
#include <string>
#include <vector>

#include "zdc/v1/simulation.grpc.pb.h"

namespace {

// Arrays travel as little-endian bytes, which is what memory holds on x86-64 and AArch64.
template <class T>
std::string to_bytes(const std::vector<T>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

template <class T>
std::vector<T> from_bytes(const std::string& bytes) {
  std::vector<T> values(bytes.size() / sizeof(T));
  std::memcpy(values.data(), bytes.data(), values.size() * sizeof(T));
  return values;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string address = argc > 1 ? argv[1] : "127.0.0.1:8001";
  auto stub = zdc::v1::Simulation::NewStub(grpc::CreateChannel(address, grpc::InsecureChannelCredentials()));

  zdc::v1::SimulateRequest request;
  request.mutable_particles()->set_pdg(to_bytes<std::int32_t>({2112, 22}));
  // px, py, pz of each particle [GeV/c]; vertices are at the origin unless set.
  request.mutable_particles()->set_momentum(to_bytes<float>({0.1f, 0.0f, 1500.0f, 0.0f, 0.02f, 300.0f}));
  request.set_seed(7);
  request.set_output(zdc::v1::OUTPUT_CHANNELS);

  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(10));
  zdc::v1::SimulateResponse reply;
  const grpc::Status status = stub->Simulate(&context, request, &reply);
  if (!status.ok()) {
    std::cerr << status.error_message() << '\n';
    return 1;
  }
  const auto sums = from_bytes<std::uint32_t>(reply.channels());
  const std::size_t channels = reply.channel_names_size();
  for (std::size_t i = 0; i < sums.size(); ++i) {
    std::cout << reply.channel_names(i % channels) << ' ' << sums[i] << ((i + 1) % channels ? "  " : "\n");
  }
}
