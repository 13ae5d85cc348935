// The deadline of a call.
#pragma once

#include <chrono>
#include <cstdint>

namespace zdc_fastsim {

/// The deadline of one call with all its attempts.
class Deadline {
 public:
  explicit Deadline(std::int64_t milliseconds);

  std::int64_t milliseconds() const { return milliseconds_; }
  std::chrono::steady_clock::duration left() const { return end_ - std::chrono::steady_clock::now(); }

 private:
  std::int64_t milliseconds_;
  std::chrono::steady_clock::time_point end_;
};

}  // namespace zdc_fastsim
