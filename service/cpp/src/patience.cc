#include "patience.h"

#include <algorithm>
#include <chrono>
#include <cmath>

namespace zdc_fastsim {

Patience::Patience(const Connection& connection, const Deadline& deadline)
    : connection_(connection), deadline_(deadline), random_(std::random_device()()) {}

void Patience::wait(const Failure& failure, bool progressed, std::size_t first_particle) {
  const std::string& address = connection_.address();
  const Options& options = connection_.options();
  const std::string limit = "deadline_ms = " + std::to_string(deadline_.milliseconds());
  if (failure.code == StatusCode::deadline_exceeded && failure.kind.empty()) {  // ours, not the server's own limit
    throw DeadlineError(failure.code, "deadline",
                        address + ": no answer within " + limit + before_ + "; send fewer particles or wait longer");
  }
  const bool full = failure.kind == "overloaded";
  const bool away = failure.code == StatusCode::unavailable && !is_untrusted(failure);
  if (!full && !away) throw_error(address, failure, first_particle);

  failures_ = progressed ? 1 : failures_ + 1;
  if (away && failures_ >= options.max_attempts) {
    const std::string attempts = std::to_string(failures_) + (failures_ == 1 ? " attempt" : " attempts in a row");
    throw_error(address, {failure.code, failure.kind, failure.message + " (" + attempts + ")"}, first_particle);
  }
  const double longest = std::min(std::ldexp(static_cast<double>(options.initial_backoff_ms), failures_ - 1),
                                  static_cast<double>(options.max_backoff_ms));
  const std::chrono::duration<double, std::milli> pause(std::uniform_real_distribution(longest / 2, longest)(random_));
  if (pause >= deadline_.left()) {
    const std::string message = failure.message + " (the next attempt would pass " + limit + ")";
    if (full) throw_error(address, {failure.code, failure.kind, message}, first_particle);
    throw DeadlineError(StatusCode::deadline_exceeded, "deadline", address + ": " + message);
  }
  before_ = "; the attempt before failed with: " + failure.message;
  ++retries_;
  connection_.pause(std::chrono::duration_cast<std::chrono::system_clock::duration>(pause));
}

}  // namespace zdc_fastsim
