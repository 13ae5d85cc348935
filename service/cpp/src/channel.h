// The connection to a server, and what every call on it carries.
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

/// Connects to an address and shows credentials there.
class Connection {
 public:
  /// Throws ConfigError for an address or options that cannot be.
  Connection(const std::string& address, const Options& options);

  const std::string& address() const { return address_; }
  const Options& options() const { return options_; }
  const std::shared_ptr<grpc::Channel>& channel() const { return channel_; }

  /// What to ask a caller whose server does not answer.
  std::string question() const;

  /// Whether a plain connection failed because the server takes only TLS; asks the server where that may be.
  bool is_closed_by_tls(const Failure& failure, const Deadline& deadline) const;

  /// Gives a call its deadline and its token; throws ConfigError where the token's file cannot be read.
  void prepare(grpc::ClientContext& context, const Deadline& deadline) const;

  /// Waits, and meanwhile connects again where the connection is lost.
  void pause(std::chrono::system_clock::duration time) const;

 private:
  std::string address_;
  Options options_;
  std::string host_;
  std::string port_;
  std::shared_ptr<grpc::Channel> channel_;
};

/// Why a call failed.
Failure failure_of(const grpc::Status& status, const grpc::ClientContext& context);

}  // namespace zdc_fastsim
