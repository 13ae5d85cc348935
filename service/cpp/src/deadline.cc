#include "deadline.h"

#include <algorithm>
#include <string>

#include "status.h"

namespace zdc_fastsim {
namespace {

// Effectively no limit, but small enough for arithmetic in nanoseconds.
constexpr std::int64_t kLongestMs = std::int64_t{365} * 24 * 3600 * 1000;

}  // namespace

Deadline::Deadline(std::int64_t milliseconds)
    : milliseconds_(milliseconds),
      end_(std::chrono::steady_clock::now() +
           std::chrono::milliseconds(std::clamp<std::int64_t>(milliseconds, 0, kLongestMs))) {
  if (milliseconds < 1) throw_invalid("deadline_ms = " + std::to_string(milliseconds) + " must be at least 1");
}

}  // namespace zdc_fastsim
