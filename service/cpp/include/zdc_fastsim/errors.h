// Every exception of this library, in one tree.
#pragma once

#include <zdc_fastsim/export.h>

#include <cstddef>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

namespace zdc_fastsim {

/// How a call ended, with gRPC's names and numbers.
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

/// Base of all errors. what() is the server's message, or this library's where the call never left it.
class ZDC_FASTSIM_EXPORT Error : public std::runtime_error {
 public:
  Error(StatusCode code, std::string kind, const std::string& message)
      : std::runtime_error(message), code_(code), kind_(std::move(kind)) {}

  StatusCode code() const noexcept { return code_; }

  /// The server's word for it (`invalid_input`, `out_of_range`, `overloaded`, ...); `config` for errors in Options.
  const std::string& kind() const noexcept { return kind_; }

 private:
  StatusCode code_;
  std::string kind_;
};

/// What the caller sends breaks a requirement; sending it again unchanged will fail again.
class ZDC_FASTSIM_EXPORT InvalidInputError : public Error {
 public:
  using Error::Error;
  InvalidInputError(StatusCode code, std::string kind, const std::string& message, std::optional<std::size_t> particle)
      : Error(code, std::move(kind), message), particle_(particle) {}

  /// Index into the particles of the call, where the error is about one of them.
  std::optional<std::size_t> particle() const noexcept { return particle_; }

 private:
  std::optional<std::size_t> particle_;
};

/// A particle is well formed but outside what the model was trained on.
class ZDC_FASTSIM_EXPORT OutOfRangeError : public InvalidInputError {
 public:
  using InvalidInputError::InvalidInputError;
};

/// A request is over one of the server's limits.
class ZDC_FASTSIM_EXPORT TooLargeError : public InvalidInputError {
 public:
  using InvalidInputError::InvalidInputError;
};

/// A buffer of the caller has no room for the answer; nothing was written outside it.
class ZDC_FASTSIM_EXPORT BufferError : public InvalidInputError {
 public:
  BufferError(const std::string& message, std::size_t size, std::size_t needed)
      : InvalidInputError(StatusCode::invalid_argument, "invalid_input", message), size_(size), needed_(needed) {}

  /// Elements that it has.
  std::size_t size() const noexcept { return size_; }

  /// Elements that suffice.
  std::size_t needed() const noexcept { return needed_; }

 private:
  std::size_t size_;
  std::size_t needed_;
};

/// Options cannot be: a file that is missing, TLS for a plain address, a server whose certificate is not trusted.
class ZDC_FASTSIM_EXPORT ConfigError : public Error {
 public:
  using Error::Error;
};

/// No model of that name and version is loaded.
class ZDC_FASTSIM_EXPORT ModelNotFoundError : public Error {
 public:
  using Error::Error;
};

/// No token was sent, or none that the server knows.
class ZDC_FASTSIM_EXPORT UnauthenticatedError : public Error {
 public:
  using Error::Error;
};

/// The server's queue was full until the deadline.
class ZDC_FASTSIM_EXPORT OverloadedError : public Error {
 public:
  using Error::Error;
};

/// The deadline passed before the answer was there.
class ZDC_FASTSIM_EXPORT DeadlineError : public Error {
 public:
  using Error::Error;
};

/// No server answers, or it is starting or shutting down, and all attempts are used up; with failed_precondition, the
/// process was forked from one that has made a client.
class ZDC_FASTSIM_EXPORT NotReadyError : public Error {
 public:
  using Error::Error;
};

}  // namespace zdc_fastsim
