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

/// How far a call has come.
struct Progress {
  bool any = false;                // whether anything was received in the last attempt
  std::size_t first_particle = 0;  // of the call, which is particle[0] of what the server says
  std::string rows = {};           // that are there, in words; empty: none
};

/// Decides after each failed attempt of one call whether there is another, and waits for it.
class Patience {
 public:
  Patience(const Connection& connection, const Deadline& deadline);

  /// Waits; throws the error of `failure` where it is of another sort or nothing is left to wait with.
  void wait(const Failure& failure, const Progress& progress);

  /// Failures so far after which there was another attempt.
  std::uint32_t retries() const { return retries_; }

 private:
  const Connection& connection_;
  const Deadline& deadline_;
  std::minstd_rand random_;
  std::uint32_t failures_ = 0;  // in a row, without a row in between
  std::uint32_t absences_ = 0;  // those of them since a server was there, if only to say that its queue is full
  std::uint32_t retries_ = 0;
  bool asked_ = false;  // whether the server speaks TLS
  std::string before_;  // what the last attempt failed of
};

}  // namespace zdc_fastsim
