// What both protocols share: what to send, and the log of what came back.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

using Clock = std::chrono::steady_clock;

inline Clock::duration of_seconds(double seconds) {
  return std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
}

struct Options {
  std::string protocol;  // "http", "grpc" or "grpc-stream"
  std::string address;   // IPv4 address and port
  std::string method;    // of gRPC: /package.Service/Method
  // Sent in turns. HTTP: head and body; gRPC: serialized messages.
  std::vector<std::string> requests;
  std::size_t clients = 1;  // of a stream: requests in flight
  double warm_up = 0.5;  // seconds that are not counted
  double seconds = 1.0;  // seconds that are
};

// What came back. Rate and latencies are of answers between the end of the warm-up and the end of the time; no request
// is sent after that, but those under way are waited for, so that `answers` are all that the server has worked for.
class Log {
 public:
  explicit Log(const Options& options)
      : began_(Clock::now()), last_(began_), start_(began_ + of_seconds(options.warm_up)),
        end_(start_ + of_seconds(options.seconds)) {
    microseconds_.reserve(1u << 20);
  }

  bool over() const { return Clock::now() >= end_; }

  // Nobody waits any longer for answers that are late.
  bool given_up() const { return Clock::now() >= end_ + std::chrono::seconds(30); }

  void answered(Clock::time_point began, std::size_t bytes) {
    last_ = Clock::now();
    ++answers_;
    reply_bytes_ = bytes;
    if (last_ < start_ || last_ >= end_) return;
    microseconds_.push_back(std::chrono::duration<float, std::micro>(last_ - began).count());
  }

  void error(const std::string& what) {
    ++errors_;
    ++reasons_[what];
  }

  // One JSON object, on one line.
  std::string json() const;

 private:
  Clock::time_point began_, last_, start_, end_;
  std::vector<float> microseconds_;
  std::size_t answers_ = 0, reply_bytes_ = 0, errors_ = 0;
  std::map<std::string, std::size_t> reasons_;
};

Log over_http(const Options& options);
Log over_grpc(const Options& options);
Log over_grpc_stream(const Options& options);
