// How long a call waits before it tries again.
#pragma once

#include <cstddef>
#include <cstdint>
#include <random>
#include <string>

#include "channel.h"
#include "deadline.h"
#include "status.h"

namespace zdc_fastsim {

/// Decides after each failed attempt of one call whether there is another, and waits for it.
class Patience {
 public:
  Patience(const Connection& connection, const Deadline& deadline);

  /// Waits; throws the error of `failure` where it is of another sort or nothing is left to wait with.
  ///
  /// @param progressed Whether anything was received in the attempt.
  /// @param first_particle Particle of the call that `particle[0]` of the failure's message is.
  void wait(const Failure& failure, bool progressed, std::size_t first_particle);

  /// Failures so far after which there was another attempt.
  std::uint32_t retries() const { return retries_; }

 private:
  const Connection& connection_;
  const Deadline& deadline_;
  std::minstd_rand random_;
  std::uint32_t failures_ = 0;  // in a row
  std::uint32_t retries_ = 0;
  std::string before_;  // what the last attempt failed of
};

}  // namespace zdc_fastsim
