// The exceptions of this library.
#pragma once

#include <zdc_fastsim/export.h>

#include <cstddef>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

namespace zdc_fastsim {

/// Status of a call, with gRPC's names and numbers.
enum class StatusCode {
  ok = 0,
  cancelled = 1,
  unknown = 2,
  invalid_argument = 3,
  deadline_exceeded = 4,
  not_found = 5,
  already_exists = 6,
  permission_denied = 7,
  resource_exhausted = 8,
  failed_precondition = 9,
  aborted = 10,
  out_of_range = 11,
  unimplemented = 12,
  internal = 13,
  unavailable = 14,
  data_loss = 15,
  unauthenticated = 16,
};

/// Base class of all errors. what() is the message of the server, or of this library.
class ZDC_FASTSIM_EXPORT Error : public std::runtime_error {
 public:
  Error(StatusCode code, std::string kind, const std::string& message)
      : std::runtime_error(message), code_(code), kind_(std::move(kind)) {}

  StatusCode code() const noexcept { return code_; }

  /// The server's kind of error (`invalid_input`, `out_of_range`, `overloaded`, ...); `config` for invalid Options.
  const std::string& kind() const noexcept { return kind_; }

 private:
  StatusCode code_;
  std::string kind_;
};

/// The request is invalid; the same request will fail again.
class ZDC_FASTSIM_EXPORT InvalidInputError : public Error {
 public:
  using Error::Error;
  InvalidInputError(StatusCode code, std::string kind, const std::string& message, std::optional<std::size_t> particle)
      : Error(code, std::move(kind), message), particle_(particle) {}

  /// Index into the particles of the call, if the error concerns one particle.
  std::optional<std::size_t> particle() const noexcept { return particle_; }

 private:
  std::optional<std::size_t> particle_;
};

/// A particle is valid but outside the model's training range.
class ZDC_FASTSIM_EXPORT OutOfRangeError : public InvalidInputError {
 public:
  using InvalidInputError::InvalidInputError;
};

/// A request exceeds one of the server's limits.
class ZDC_FASTSIM_EXPORT TooLargeError : public InvalidInputError {
 public:
  using InvalidInputError::InvalidInputError;
};

/// A buffer of the caller is too short for the result; nothing was written outside it.
class ZDC_FASTSIM_EXPORT BufferError : public InvalidInputError {
 public:
  BufferError(const std::string& message, std::size_t size, std::size_t needed)
      : InvalidInputError(StatusCode::invalid_argument, "invalid_input", message), size_(size), needed_(needed) {}

  /// Number of elements of the buffer.
  std::size_t size() const noexcept { return size_; }

  /// Number of elements that suffices.
  std::size_t needed() const noexcept { return needed_; }

 private:
  std::size_t size_;
  std::size_t needed_;
};

/// Options are invalid, e.g. a missing file, TLS files with a grpc:// address, or an untrusted server certificate.
class ZDC_FASTSIM_EXPORT ConfigError : public Error {
 public:
  using Error::Error;
};

/// The server has no model with this name and version.
class ZDC_FASTSIM_EXPORT ModelNotFoundError : public Error {
 public:
  using Error::Error;
};

/// The request has no token, or a token that the server does not know.
class ZDC_FASTSIM_EXPORT UnauthenticatedError : public Error {
 public:
  using Error::Error;
};

/// The server's queue was full until the deadline.
class ZDC_FASTSIM_EXPORT OverloadedError : public Error {
 public:
  using Error::Error;
};

/// The deadline passed before the result was complete.
class ZDC_FASTSIM_EXPORT DeadlineError : public Error {
 public:
  using Error::Error;
};

/// After all attempts, no server answers, or it is starting or shutting down. With the code failed_precondition: this
/// process was forked after its parent had created a client.
class ZDC_FASTSIM_EXPORT NotReadyError : public Error {
 public:
  using Error::Error;
};

}  // namespace zdc_fastsim
