// Client of a zdc-fastsim server over gRPC. This header does not expose types of gRPC or protobuf.
#pragma once

#include <zdc_fastsim/errors.h>
#include <zdc_fastsim/export.h>
#include <zdc_fastsim/types.h>
#include <zdc_fastsim/version.h>

#include <cstdint>
#include <memory>
#include <string>

namespace zdc_fastsim {

/// Limits, timeouts and credentials of a client. The first three options are paths of PEM files.
struct Options {
  std::string ca_file = {};               ///< Authorities that sign server certificates; empty: those of the system.
  std::string client_certificate = {};    ///< The client's certificate and chain, for servers that require one.
  std::string client_key = {};            ///< Key of the client's certificate.
  std::string server_name = {};           ///< Name in the server's certificate, if it differs from the address.
  std::string token = {};                 ///< Bearer token; sent unencrypted unless the address is grpcs.
  std::string token_file = {};            ///< File with the token; read for each attempt, so it can be replaced.
  std::int64_t deadline_ms = 120'000;     ///< Time limit of a call with all its messages, attempts and waits [ms].
  std::uint32_t rows_per_request = 1024;  ///< Rows per message; larger jobs are split, with the same result.
  std::uint32_t in_flight = 4;            ///< Messages sent before their replies arrive.
  std::uint32_t max_attempts = 8;         ///< Successive attempts while the server is unavailable; 1: no retry.
  std::int64_t initial_backoff_ms =
      100;                              ///< Maximum wait before the second attempt [ms]; doubled for each further one.
  std::int64_t max_backoff_ms = 5'000;  ///< Upper limit of the waits [ms]; each is drawn from [maximum / 2, maximum].
  std::int64_t keepalive_ms =
      60'000;  ///< If the server is silent for this time [ms] during a call, the client pings it; 0: no pings.
};

/// Simulates particles on a server.
///
/// Any number of threads can use one client at the same time, with separate buffers. Each call is a separate stream
/// over a shared connection, and runs entirely in the calling thread. Moving from or destroying a client during a call
/// is an error. A moved-from client can only be assigned to or destroyed.
///
/// A forked process needs its own clients, and can create them only if its parent has never created one: create the
/// first client after fork(), or start a new program in the child (exec). Otherwise NotReadyError is thrown in the
/// child; the parent's clients continue to work.
class ZDC_FASTSIM_EXPORT Client {
 public:
  /// Creates a client; it connects at the first call.
  ///
  /// @param address `grpc://host:port`, or `grpcs://host:port` for TLS; an IPv6 address is in brackets. Calls are
  ///     distributed round robin over all IP addresses of the host name. gRPC's `dns:///host:port` is accepted as
  ///     `grpc://host:port`; `dns://resolver:53/host:port` looks up the addresses at that resolver.
  /// @throws ConfigError if the address or an option is invalid, or a file cannot be read.
  /// @throws NotReadyError in a process that was forked after its parent had created a client.
  explicit Client(const std::string& address, const Options& options = {});
  ~Client();
  Client(Client&&) noexcept;
  Client& operator=(Client&&) noexcept;

  /// Simulates any number of particles, and returns when the buffers are filled. Without particles, it sends no
  /// request.
  ///
  /// If the server becomes unavailable, the missing rows are requested again, after growing random waits. (With
  /// OutOfRange::skip and extrapolate, all rows of an incomplete message, because only its last reply has the counts.)
  /// If the server's queue is full, the call retries until the deadline.
  ///
  /// @throws Error that the server reports; messages and InvalidInputError::particle() number particles within this
  /// call.
  /// @throws BufferError if a buffer is too short.
  /// @throws ConfigError if the server's certificate is not trusted, or Options::token_file can no longer be read.
  Result simulate(Span<const Particle> particles, const Request& request, const CountBuffers& buffers) const;
  Result simulate(Span<const Particle> particles, const Request& request, const FloatBuffers& buffers) const;

  /// Shape, channels and species of a model, e.g. to determine the sizes of buffers.
  ///
  /// @param name Name of the model; empty: the server's default model.
  /// @param version Version of the model; 0: the newest one that is loaded.
  /// @throws Error as in simulate().
  ModelInfo model(const std::string& name = {}, std::uint32_t version = 0) const;

 private:
  struct Impl;
  struct End {
    void operator()(Impl* impl) const noexcept;
  };
  std::unique_ptr<Impl, End> impl_;
};

}  // namespace zdc_fastsim
