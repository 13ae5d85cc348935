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
#include "proxy.h"
#include "tls_question.h"

namespace zdc_fastsim {
namespace {

constexpr std::string_view kPlain = "grpc://";
constexpr std::string_view kTls = "grpcs://";
constexpr std::string_view kDns = "dns://";
constexpr const char* kKindKey = "zdc-error-kind";

bool begins_with(const std::string& text, std::string_view with) { return text.compare(0, with.size(), with) == 0; }

/// Distributes calls over all IP addresses of the server's name, e.g. of a headless Kubernetes service. By default,
/// gRPC sends all calls to the first address that answers.
constexpr const char* kRoundRobin = R"({"loadBalancingConfig": [{"round_robin": {}}]})";

/// A server that is alive answers a ping at once, also if all its threads compute.
constexpr std::int64_t kKeepaliveAnswerMs = 20'000;
constexpr std::int64_t kLongestKeepaliveMs = 86'400'000;

constexpr auto kTlsQuestion = std::chrono::seconds(2);

/// Whether the text is a host name, an IPv4 address, or an IPv6 address in brackets.
bool is_host(const std::string& host) {
  const std::string letters = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_.";
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
    return host.find_first_not_of(letters + ":%", 1) == host.size() - 1;
  }
  return !host.empty() && host.find_first_not_of(letters) == std::string::npos;
}

struct Server {
  std::string target;  // for gRPC
  std::string host;
  std::string port;
};

/// Checked here, because gRPC uses 443 for a missing port, truncates a port above 65535, and opens unix:8001 as a file.
Server server_of(const std::string& address) {
  std::size_t begin = 0;
  for (const std::string_view scheme : {kPlain, kTls}) {
    if (begins_with(address, scheme)) begin = scheme.size();
  }
  const bool by_dns = begins_with(address, kDns);
  if (by_dns) {
    const std::size_t slash = address.find('/', kDns.size());
    const std::string resolver = address.substr(kDns.size(), slash - kDns.size());
    const bool is_resolver =
        resolver.find_first_not_of("0123456789abcdefghijklmnopqrstuvwxyz-.:[]") == std::string::npos;
    if (slash != std::string::npos && is_resolver) begin = slash + 1;
  }
  const std::size_t colon = address.rfind(':');
  unsigned port = 0;
  const char* end = address.data() + address.size();
  if (begin != 0 && colon != std::string::npos && colon > begin && is_host(address.substr(begin, colon - begin))) {
    const auto [stop, error] = std::from_chars(address.data() + colon + 1, end, port);
    if (error == std::errc() && stop == end && port > 0 && port < 65'536) {
      return {by_dns ? address : "dns:///" + address.substr(begin), address.substr(begin, colon - begin),
              address.substr(colon + 1)};
    }
  }
  throw_config("address '" + address.substr(0, 100) +
               "' must be grpc://host:port, or grpcs://host:port for TLS, with a port from 1 to 65535");
}

void check(const Options& options) {
  if (options.rows_per_request < 1) throw_config("rows_per_request = 0 must be at least 1");
  if (options.in_flight < 1) throw_config("in_flight = 0 must be at least 1");
  if (options.max_attempts < 1) throw_config("max_attempts = 0 must be at least 1");
  if (options.deadline_ms < 1)
    throw_config("deadline_ms = " + std::to_string(options.deadline_ms) + " must be at least 1");
  if (options.initial_backoff_ms < 1 || options.max_backoff_ms < options.initial_backoff_ms) {
    throw_config("initial_backoff_ms = " + std::to_string(options.initial_backoff_ms) +
                 " must be at least 1 and at most max_backoff_ms = " + std::to_string(options.max_backoff_ms));
  }
  if (options.keepalive_ms != 0 && (options.keepalive_ms < 1000 || options.keepalive_ms > kLongestKeepaliveMs)) {
    throw_config("keepalive_ms = " + std::to_string(options.keepalive_ms) +
                 " must be 0, or from 1000 to 86400000 (a day)");
  }
  if (!options.token.empty() && !options.token_file.empty())
    throw_config("token and token_file exclude each other; leave one out");
  if (options.client_certificate.empty() != options.client_key.empty()) {
    throw_config("client_certificate and client_key need each other; give both or neither");
  }
}

std::shared_ptr<grpc::ChannelCredentials> plain(const Options& options) {
  for (const auto& [name, value] : {std::pair("ca_file", &options.ca_file),
                                    {"client_certificate", &options.client_certificate},
                                    {"client_key", &options.client_key},
                                    {"server_name", &options.server_name}}) {
    if (!value->empty())
      throw_config(std::string(name) + " = '" + *value + "' requires TLS; use an address with grpcs://");
  }
  return grpc::InsecureChannelCredentials();
}

std::shared_ptr<grpc::ChannelCredentials> tls(const Options& options) {
  grpc::SslCredentialsOptions files;
  if (!options.ca_file.empty()) files.pem_root_certs = read_certificates("ca_file", options.ca_file);
  if (!options.client_key.empty()) {
    files.pem_private_key = read_key("client_key", options.client_key);
    files.pem_cert_chain = read_certificates("client_certificate", options.client_certificate);
  }
  return grpc::SslCredentials(files);
}

}  // namespace

Connection::Connection(const std::string& address, const Options& options) : address_(address), options_(options) {
  check(options);
  const bool secure = begins_with(address, kTls);
  const Server server = server_of(address);
  host_ = server.host;
  port_ = server.port;
  token_of(options);  // report an invalid token here, not at the first call

  grpc::ChannelArguments arguments;
  // RetryPolicy counts the attempts: gRPC must not repeat calls, nor wait longer between its own reconnections.
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS,
                   static_cast<int>(std::min<std::int64_t>(options.initial_backoff_ms, 1000)));
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
  if (!options.server_name.empty()) arguments.SetSslTargetNameOverride(options.server_name);
  if (options.keepalive_ms != 0) {
    arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, static_cast<int>(options.keepalive_ms));
    const int answer = static_cast<int>(std::min(options.keepalive_ms, kKeepaliveAnswerMs));
    arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, answer);
    arguments.SetInt("grpc.http2.ping_timeout_ms", answer);      // the name in newer versions of gRPC
    arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);  // no limit: a long computation sends no data
  }
  if (is_this_machine(host_)) {  // a proxy could not reach it; its IPv4 and IPv6 addresses are one server
    arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  } else {
    arguments.SetServiceConfigJSON(kRoundRobin);
  }
  channel_ = grpc::CreateCustomChannel(server.target, secure ? tls(options) : plain(options), arguments);
}

std::string Connection::question() const { return question_about(host_); }

bool Connection::is_closed_by_tls(const Failure& failure, const Deadline& deadline) const {
  const auto says = [&failure](const char* words) { return failure.message.find(words) != std::string::npos; };
  return begins_with(address_, kPlain) && failure.kind.empty() &&
         (says("Socket closed") || says("onnection reset") || says("Endpoint closing")) &&
         question().rfind("is ", 0) == 0 &&
         speaks_tls(host_, port_, std::min<std::chrono::steady_clock::duration>(kTlsQuestion, deadline.left()));
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
  // Not a plain sleep: without a call, gRPC reconnects only while a thread waits for the channel's state.
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
