// Retries of a call, and the waits between them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <random>
#include <string>

#include "channel.h"
#include "deadline.h"
#include "status.h"

namespace zdc_fastsim {

/// Progress of a call.
struct Progress {
  bool any = false;                // whether anything was received in the last attempt
  std::size_t first_particle = 0;  // number within the call of particle[0] in the server's message
  std::string rows = {};           // rows that have arrived, for messages; empty if none
};

/// Decides after each failed attempt of a call whether to retry, and waits before the retry.
class RetryPolicy {
 public:
  RetryPolicy(const Connection& connection, const Deadline& deadline);

  /// Waits before the next attempt; throws the error of `failure` if a retry is useless, or no attempt or time is left.
  void wait(const Failure& failure, const Progress& progress);

  /// Number of retries so far.
  std::uint32_t retries() const { return retries_; }

 private:
  const Connection& connection_;
  const Deadline& deadline_;
  std::minstd_rand random_;
  std::uint32_t failures_ = 0;  // successive failures, since the last row
  std::uint32_t absences_ = 0;  // successive failures since the server answered, if only that its queue is full
  std::uint32_t retries_ = 0;
  bool asked_ = false;  // whether the TLS check was done
  std::string before_;  // the failure of the previous attempt, for messages
};

}  // namespace zdc_fastsim
