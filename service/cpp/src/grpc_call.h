// gRPC calls by method name, with protobuf messages.
#pragma once

#include <grpcpp/client_context.h>
#include <grpcpp/completion_queue.h>
#include <grpcpp/generic/generic_stub.h>
#if __has_include(<grpcpp/impl/proto_utils.h>)
#include <grpcpp/impl/proto_utils.h>
#else  // before gRPC 1.53
#include <grpcpp/impl/codegen/proto_utils.h>
#endif
