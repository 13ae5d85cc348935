#include "channel.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/channel_arguments.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <string_view>
#include <system_error>
#include <utility>

#include "files.h"

namespace zdc_fastsim {
namespace {

constexpr std::string_view kPlain = "grpc://";
constexpr std::string_view kTls = "grpcs://";
constexpr const char* kKindKey = "zdc-error-kind";

bool begins_with(const std::string& text, std::string_view with) { return text.compare(0, with.size(), with) == 0; }

[[noreturn]] void refuse(const std::string& message) {
  throw ConfigError(StatusCode::invalid_argument, "config", message);
}

/// A name, an IPv4 address, or an IPv6 address in brackets.
bool is_host(const std::string& host) {
  const std::string letters = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_.";
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
    return host.find_first_not_of(letters + ":%", 1) == host.size() - 1;
  }
  return !host.empty() && host.find_first_not_of(letters) == std::string::npos;
}

/// gRPC itself would take 443 for a port that is absent, cut one that is too large, and read unix:8001 as a file.
std::string target_of(const std::string& address, std::string_view scheme) {
  const std::size_t colon = address.rfind(':');
  unsigned port = 0;
  const char* end = address.data() + address.size();
  if (begins_with(address, scheme) && is_host(address.substr(scheme.size(), colon - scheme.size()))) {
    const auto [stop, error] = std::from_chars(address.data() + colon + 1, end, port);
    if (error == std::errc() && stop == end && port > 0 && port < 65'536) {
      return "dns:///" + address.substr(scheme.size());
    }
  }
  refuse("address '" + address + "' must be grpc://host:port, or grpcs://host:port for TLS");
}

void check(const Options& options) {
  if (options.rows_per_request < 1) refuse("rows_per_request = 0 must be at least 1");
  if (options.in_flight < 1) refuse("in_flight = 0 must be at least 1");
  if (options.max_attempts < 1) refuse("max_attempts = 0 must be at least 1");
  if (options.deadline_ms < 1) refuse("deadline_ms = " + std::to_string(options.deadline_ms) + " must be at least 1");
  if (options.initial_backoff_ms < 1 || options.max_backoff_ms < options.initial_backoff_ms) {
    refuse("initial_backoff_ms = " + std::to_string(options.initial_backoff_ms) +
           " must be at least 1, and max_backoff_ms = " + std::to_string(options.max_backoff_ms) + " no less than it");
  }
  if (!options.token.empty() && !options.token_file.empty()) refuse("token and token_file: give one of them");
  if (options.client_certificate.empty() != options.client_key.empty()) {
    refuse("client_certificate and client_key go together; give both or neither");
  }
}

std::shared_ptr<grpc::ChannelCredentials> plain(const Options& options) {
  for (const auto& [name, value] : {std::pair("ca_file", &options.ca_file),
                                    {"client_certificate", &options.client_certificate},
                                    {"client_key", &options.client_key},
                                    {"server_name", &options.server_name}}) {
    if (!value->empty())
      refuse(std::string(name) + " = '" + *value + "' is for TLS; the address must begin with grpcs://");
  }
  return grpc::InsecureChannelCredentials();
}

std::shared_ptr<grpc::ChannelCredentials> tls(const Options& options) {
  grpc::SslCredentialsOptions files;
  if (!options.ca_file.empty()) files.pem_root_certs = read_pem("ca_file", options.ca_file);
  if (!options.client_key.empty()) {
    files.pem_private_key = read_pem("client_key", options.client_key);
    files.pem_cert_chain = read_pem("client_certificate", options.client_certificate);
  }
  return grpc::SslCredentials(files);
}

}  // namespace

Connection::Connection(const std::string& address, const Options& options) : address_(address), options_(options) {
  check(options);
  const bool secure = begins_with(address, kTls);
  const std::string target = target_of(address, secure ? kTls : kPlain);
  token_of(options);  // so that a bad one is found here and not by the first call

  grpc::ChannelArguments arguments;
  // Attempts are ours to count and to pace: gRPC itself neither repeats calls nor waits longer than we do to reconnect.
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS,
                   static_cast<int>(std::min<std::int64_t>(options.initial_backoff_ms, 1000)));
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
  if (!options.server_name.empty()) arguments.SetSslTargetNameOverride(options.server_name);
  channel_ = grpc::CreateCustomChannel(target, secure ? tls(options) : plain(options), arguments);
}

void Connection::prepare(grpc::ClientContext& context, const Deadline& deadline) const {
  const auto left = std::chrono::duration_cast<std::chrono::system_clock::duration>(deadline.left());
  context.set_deadline(std::chrono::system_clock::now() + left);
  if (const std::string token = token_of(options_); !token.empty()) {
    context.AddMetadata("authorization", "Bearer " + token);
  }
}

void Connection::pause(std::chrono::system_clock::duration time) const {
  const auto end = std::chrono::system_clock::now() + time;
  // Between calls, only who waits for the channel drives its sockets; in a mere sleep no connection would come about.
  while (channel_->WaitForStateChange(channel_->GetState(true), end)) {
  }
}

Failure failure_of(const grpc::Status& status, const grpc::ClientContext& context) {
  const auto& metadata = context.GetServerTrailingMetadata();
  const auto found = metadata.find(kKindKey);
  const std::string kind = found == metadata.end() ? "" : std::string(found->second.data(), found->second.size());
  return {static_cast<StatusCode>(status.error_code()), kind, status.error_message()};
}

}  // namespace zdc_fastsim
