#include "deadline.h"

#include <algorithm>
#include <cmath>
#include <thread>

#include "status.h"

namespace zdc_fastsim {
namespace {

// Far enough to be none, near enough for arithmetic in nanoseconds.
constexpr std::int64_t kLongestMs = std::int64_t{365} * 24 * 3600 * 1000;

}  // namespace

Deadline::Deadline(std::int64_t milliseconds)
    : milliseconds_(milliseconds),
      end_(std::chrono::steady_clock::now() + std::chrono::milliseconds(std::min(milliseconds, kLongestMs))) {
  if (milliseconds < 1) {
    throw InvalidInputError(StatusCode::invalid_argument, "invalid_input",
                            "deadline_ms = " + std::to_string(milliseconds) + " must be at least 1");
  }
}

Patience::Patience(const std::string& address, const Options& options, const Deadline& deadline)
    : address_(address), options_(options), deadline_(deadline), random_(std::random_device()()) {}

void Patience::wait(const Failure& failure, bool progressed, std::size_t first_particle) {
  const std::string limit = "deadline_ms = " + std::to_string(deadline_.milliseconds());
  if (failure.code == StatusCode::deadline_exceeded && failure.kind.empty()) {  // ours, not the server's own limit
    throw DeadlineError(failure.code, "deadline",
                        address_ + ": no answer within " + limit + before_ + "; send fewer particles or wait longer");
  }
  const bool full = failure.kind == "overloaded";
  const bool away = failure.code == StatusCode::unavailable && !is_untrusted(failure);
  if (!full && !away) throw_error(address_, failure, first_particle);

  failures_ = progressed ? 1 : failures_ + 1;
  if (away && failures_ >= options_.max_attempts) {
    const std::string attempts = std::to_string(failures_) + (failures_ == 1 ? " attempt" : " attempts in a row");
    throw_error(address_, {failure.code, failure.kind, failure.message + " (" + attempts + ")"}, first_particle);
  }
  const double longest = std::min(std::ldexp(static_cast<double>(options_.initial_backoff_ms), failures_ - 1),
                                  static_cast<double>(options_.max_backoff_ms));
  const std::chrono::duration<double, std::milli> pause(std::uniform_real_distribution(longest / 2, longest)(random_));
  if (pause >= deadline_.left()) {
    const std::string message = failure.message + " (the next attempt would pass " + limit + ")";
    if (full) throw_error(address_, {failure.code, failure.kind, message}, first_particle);
    throw DeadlineError(StatusCode::deadline_exceeded, "deadline", address_ + ": " + message);
  }
  before_ = "; the attempt before failed with: " + failure.message;
  ++retries_;
  std::this_thread::sleep_for(pause);
}

}  // namespace zdc_fastsim
