// Client of a zdc-fastsim server over gRPC. No type of gRPC or protobuf is seen here.
#pragma once

#include <zdc_fastsim/errors.h>
#include <zdc_fastsim/export.h>
#include <zdc_fastsim/types.h>
#include <zdc_fastsim/version.h>

#include <cstdint>
#include <memory>
#include <string>

namespace zdc_fastsim {

/// How a client talks to its server. The first three name PEM files.
struct Options {
  std::string ca_file = {};               ///< Authorities that may sign the server's certificate; empty: the system's.
  std::string client_certificate = {};    ///< Own certificate and chain, for servers that ask for one.
  std::string client_key = {};            ///< Its key.
  std::string server_name = {};           ///< Name that the server's certificate must have, if not the address's.
  std::string token = {};                 ///< Bearer token; in clear text unless the address is grpcs.
  std::string token_file = {};            ///< File with the token, read for each attempt so that it may be replaced.
  std::int64_t deadline_ms = 120'000;     ///< Longest time of a call, all messages, attempts and waits included [ms].
  std::uint32_t rows_per_request = 1024;  ///< Rows of one message; larger jobs are split, which changes no result.
  std::uint32_t in_flight = 4;            ///< Messages sent ahead of the answers.
  std::uint32_t max_attempts = 8;         ///< Of UNAVAILABLE in a row, with no answer in between; 1: no retry.
  std::int64_t initial_backoff_ms =
      100;                              ///< Longest wait before the second attempt [ms]; doubled for each further one.
  std::int64_t max_backoff_ms = 5'000;  ///< Longest wait of all [ms]; each is drawn between half of it and all.
  std::int64_t keepalive_ms =
      60'000;  ///< A server that is silent for so long in a call is asked whether it is there [ms]; 0: never.
};

/// Simulates particles on a server.
///
/// Any number of threads may use one client at the same time, if each has buffers of its own: every call is a stream of
/// its own over a shared connection, and runs wholly in the thread that made it. Moving from or destroying a client
/// while it is in use is an error; one that was moved from may only be assigned to or destroyed.
///
/// A process that was forked makes clients of its own, and only if its parent has never made one: make the first client
/// after fork(), or start the child's program anew (exec). Otherwise its clients are refused with NotReadyError; those
/// of the parent go on.
class ZDC_FASTSIM_EXPORT Client {
 public:
  /// Does not connect yet: calls do.
  ///
  /// @param address `grpc://host:port`, or `grpcs://host:port` for TLS; an IPv6 address is in brackets. Calls go in
  ///     turn to all addresses of the host's name. `dns:///host:port` is `grpc://host:port` in gRPC's own form;
  ///     `dns://resolver:53/host:port` asks that resolver for the addresses.
  /// @throws ConfigError for an address of another form, options that cannot be, and files that cannot be read.
  /// @throws NotReadyError in a process that was forked from one that has made a client.
  explicit Client(const std::string& address, const Options& options = {});
  ~Client();
  Client(Client&&) noexcept;
  Client& operator=(Client&&) noexcept;

  /// Simulates any number of particles and returns when the buffers are filled; for none it asks no server.
  ///
  /// Where the server goes away it is asked again, with growing random waits, for the rows that have not arrived. (With
  /// OutOfRange::skip and extrapolate from the message that broke off: only its last reply has the counts.) A full
  /// queue is waited for until the deadline.
  ///
  /// @throws Error of the kind that the server answers; messages and InvalidInputError::particle() count particles from
  ///     the first of this call.
  /// @throws BufferError if a buffer is too short.
  /// @throws ConfigError if the server's certificate is not trusted, or Options::token_file can no longer be read.
  Result simulate(Span<const Particle> particles, const Request& request, const CountBuffers& buffers) const;
  Result simulate(Span<const Particle> particles, const Request& request, const FloatBuffers& buffers) const;

  /// Shape, channels and species of a model, e.g. to know how long buffers must be.
  ///
  /// @param name Empty: the server's default.
  /// @param version 0: the newest one loaded.
  /// @throws Error as simulate().
  ModelInfo model(const std::string& name = {}, std::uint32_t version = 0) const;

 private:
  struct Impl;
  struct End {
    void operator()(Impl* impl) const noexcept;
  };
  std::unique_ptr<Impl, End> impl_;
};

}  // namespace zdc_fastsim
