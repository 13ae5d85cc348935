// Converts the status of a failed call to an exception.
#pragma once

#include <cstddef>
#include <string>

#include "zdc_fastsim/errors.h"

namespace zdc_fastsim {

/// An attempt that failed.
struct Failure {
  StatusCode code;
  std::string kind;
  std::string message;
};

/// The remedy for a failure that a retry cannot fix; null for other failures.
const char* remedy_of(const Failure& failure);

/// Throws the error for a failure. Particles in its message count from `first_particle` of the call; `question` is the
/// advice if no server answers.
[[noreturn]] void throw_error(const std::string& address, const std::string& question, const Failure& failure,
                              std::size_t first_particle);

/// A number and what it counts, e.g. `1 row` or `2 rows`.
std::string counted(std::size_t number, const char* noun);

/// Throws InvalidInputError.
[[noreturn]] void throw_invalid(const std::string& message);

/// Throws ConfigError.
[[noreturn]] void throw_config(const std::string& message);

/// Throws NotReadyError for a client in another process than its own.
[[noreturn]] void throw_elsewhere(const std::string& message);

/// Throws Error for an invalid reply.
[[noreturn]] void throw_malformed(const std::string& what);

}  // namespace zdc_fastsim
