// The connection to a server, with the deadline and the token of each call.
#pragma once

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include <chrono>
#include <memory>
#include <string>

#include "deadline.h"
#include "status.h"
#include "zdc_fastsim/client.h"

namespace zdc_fastsim {

/// A gRPC channel to a server, with its credentials.
class Connection {
 public:
  /// Throws ConfigError if the address or an option is invalid.
  Connection(const std::string& address, const Options& options);

  const std::string& address() const { return address_; }
  const Options& options() const { return options_; }
  const std::shared_ptr<grpc::Channel>& channel() const { return channel_; }

  /// The advice in the error message if the server does not answer.
  std::string question() const;

  /// Whether a connection without TLS failed because the server requires TLS; connects to the server to find out.
  bool is_closed_by_tls(const Failure& failure, const Deadline& deadline) const;

  /// Sets the deadline and the token of a call; throws ConfigError if the token's file cannot be read.
  void prepare(grpc::ClientContext& context, const Deadline& deadline) const;

  /// Waits; a lost connection is restored during the wait.
  void pause(std::chrono::system_clock::duration time) const;

 private:
  std::string address_;
  Options options_;
  std::string host_;
  std::string port_;
  std::shared_ptr<grpc::Channel> channel_;
};

/// The failure of a call.
Failure failure_of(const grpc::Status& status, const grpc::ClientContext& context);

}  // namespace zdc_fastsim
