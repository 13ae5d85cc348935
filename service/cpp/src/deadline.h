// When a call ends, and how long it waits before it tries again.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <random>
#include <string>

#include "zdc_fastsim/client.h"

namespace zdc_fastsim {

/// Of one call with all its attempts.
class Deadline {
 public:
  explicit Deadline(std::int64_t milliseconds);

  std::int64_t milliseconds() const { return milliseconds_; }
  std::chrono::steady_clock::duration left() const { return end_ - std::chrono::steady_clock::now(); }

 private:
  std::int64_t milliseconds_;
  std::chrono::steady_clock::time_point end_;
};

/// An attempt that failed.
struct Failure {
  StatusCode code;
  std::string kind;
  std::string message;
};

/// Decides after each failed attempt of one call whether there is another, and waits for it.
class Patience {
 public:
  Patience(const std::string& address, const Options& options, const Deadline& deadline);

  /// Waits; throws the error of `failure` where it is of another sort or nothing is left to wait with.
  ///
  /// @param progressed Whether anything was received in the attempt.
  /// @param first_particle Particle of the call that `particle[0]` of the failure's message is.
  void wait(const Failure& failure, bool progressed, std::size_t first_particle);

  /// Failures so far after which there was another attempt.
  std::uint32_t retries() const { return retries_; }

 private:
  const std::string& address_;
  const Options& options_;
  const Deadline& deadline_;
  std::minstd_rand random_;
  std::uint32_t failures_ = 0;  // in a row
  std::uint32_t retries_ = 0;
  std::string before_;  // what the last attempt failed of
};

}  // namespace zdc_fastsim
