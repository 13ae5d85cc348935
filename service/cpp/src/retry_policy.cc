#include "retry_policy.h"

#include <algorithm>
#include <chrono>
#include <cmath>

namespace zdc_fastsim {

RetryPolicy::RetryPolicy(const Connection& connection, const Deadline& deadline)
    : connection_(connection), deadline_(deadline), random_(std::random_device()()) {}

void RetryPolicy::wait(const Failure& failure, const Progress& progress) {
  const std::string& address = connection_.address();
  const Options& options = connection_.options();
  const std::string limit = "deadline_ms = " + std::to_string(deadline_.milliseconds());
  // Without a kind, it is the call's own deadline, not the server's limit.
  if (failure.code == StatusCode::deadline_exceeded && failure.kind.empty()) {
    const std::string answer = progress.rows.empty() ? "no answer" : progress.rows;
    throw DeadlineError(
        failure.code, "deadline",
        address + ": " + answer + " within " + limit + before_ + "; send fewer particles, or increase deadline_ms");
  }
  const bool full = failure.kind == "overloaded";
  const bool away = failure.code == StatusCode::unavailable && remedy_of(failure) == nullptr;
  if (!full && !away) throw_error(address, connection_.question(), failure, progress.first_particle);
  if (away && !asked_ && connection_.is_closed_by_tls(failure, deadline_)) {
    throw_config(address + ": " + failure.message + "; this port speaks TLS; use grpcs in the address");
  }
  asked_ = true;

  failures_ = progress.any ? 1 : failures_ + 1;
  absences_ = full ? 0 : progress.any ? 1 : absences_ + 1;
  if (away && absences_ >= options.max_attempts) {
    const std::string attempts = std::to_string(absences_) + (absences_ == 1 ? " attempt" : " attempts in a row");
    throw_error(address, connection_.question(), {failure.code, failure.kind, failure.message + " (" + attempts + ")"},
                progress.first_particle);
  }
  const double longest =
      std::min(std::ldexp(static_cast<double>(options.initial_backoff_ms), static_cast<int>(failures_) - 1),
               static_cast<double>(options.max_backoff_ms));
  const std::chrono::duration<double, std::milli> pause(std::uniform_real_distribution(longest / 2, longest)(random_));
  if (pause >= deadline_.left()) {
    const std::string message = failure.message + " (the next attempt would exceed " + limit + ")";
    if (full) throw_error(address, "", {failure.code, failure.kind, message}, progress.first_particle);
    throw DeadlineError(StatusCode::deadline_exceeded, "deadline", address + ": " + message);
  }
  before_ = "; the previous attempt failed: " + failure.message;
  ++retries_;
  connection_.pause(std::chrono::duration_cast<std::chrono::system_clock::duration>(pause));
}

}  // namespace zdc_fastsim
