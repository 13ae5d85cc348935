// From the status of a failed call to an exception.
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

/// What to look at where a server cannot be reached for a reason that no waiting mends; null for others.
const char* remedy_of(const Failure& failure);

/// Throws the error of a failure whose message counts particles from `first_particle` of the call; `question` is what
/// to ask where no server answers.
[[noreturn]] void throw_error(const std::string& address, const std::string& question, const Failure& failure,
                              std::size_t first_particle);

/// A number and what it counts, e.g. `1 row` or `2 rows`.
std::string counted(std::size_t number, const char* noun);

/// Throws InvalidInputError with a message of ours.
[[noreturn]] void throw_invalid(const std::string& message);

/// Throws ConfigError with a message of ours.
[[noreturn]] void throw_config(const std::string& message);

/// Throws NotReadyError for a client in another process than its own.
[[noreturn]] void throw_elsewhere(const std::string& message);

/// Throws Error for a reply that breaks the contract.
[[noreturn]] void throw_malformed(const std::string& what);

}  // namespace zdc_fastsim
