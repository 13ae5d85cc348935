// A channel and messages as both kinds of gRPC calls need them.
#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>
#include <vector>

#include "load.h"

inline std::shared_ptr<grpc::Channel> channel(const Options& options) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);  // a separate connection
  arguments.SetMaxReceiveMessageSize(-1);
  return grpc::CreateCustomChannel(options.address, grpc::InsecureChannelCredentials(), arguments);
}

inline std::vector<grpc::ByteBuffer> messages(const Options& options) {
  std::vector<grpc::ByteBuffer> buffers;
  for (const std::string& request : options.requests) {
    const grpc::Slice slice(request);
    buffers.emplace_back(&slice, 1);
  }
  return buffers;
}
