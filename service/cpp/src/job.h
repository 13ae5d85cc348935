// One call of simulate(): its requests and their replies.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>

#include "rows.h"
#include "simulation.pb.h"
#include "zdc_fastsim/client.h"

namespace zdc_fastsim {

/// Splits a call into requests of bounded size, and joins the replies. Positions are numbers of rows, counted from 0
/// over the particles and their repeats.
class Job {
 public:
  /// Throws InvalidInputError if the request is invalid, as far as this can be checked without the server.
  Job(Span<const Particle> particles, const Request& request, std::uint32_t rows_per_request, Rows& rows);

  /// Whether there are requests that are not sent yet.
  bool has_next() const { return next_ < size_; }

  /// The next request; it counts as sent after this call.
  wire::SimulateRequest next();

  /// Number of requests that are sent but not answered.
  std::size_t in_flight() const { return sent_.size(); }

  /// Adds the rows of the next reply; returns false, and adds none, if it is from another version than those before.
  bool take(const wire::SimulateResponse& reply);

  /// Whether all rows have arrived.
  bool done() const { return !has_next() && sent_.empty(); }

  /// Notes that the stream ended early: requests without a complete reply are sent again.
  void interrupted();

  /// First particle of the oldest unanswered request, to which errors refer.
  std::size_t first_particle() const;

  /// Properties of the rows that have arrived.
  Result result() const;

  /// Number of the rows that have arrived, for messages; empty if none.
  std::string progress() const;

 private:
  struct Sent {
    std::uint64_t first;      // position of its first row
    std::uint32_t particles;  // number of particles
    std::uint32_t repeats;    // repeats of each particle
    bool settled;             // whether it names the model and version of the first reply
    std::size_t rows;         // rows in the buffers before its first reply
    std::size_t hits;         // hits in the buffers before its first reply
  };

  void write_particles(const Sent& sent, wire::Particles& message) const;
  void check_reply(const Sent& sent, const wire::SimulateResponse& reply) const;
  void check_particles(const Sent& sent, const wire::SimulateResponse& reply) const;

  Span<const Particle> particles_;
  const Request& request_;
  std::uint32_t rows_per_request_;
  Rows& rows_;
  std::uint64_t size_;      // N * repeats
  std::uint64_t next_ = 0;  // position of the first row that is not requested yet
  std::deque<Sent> sent_;
  Result result_;
  bool started_ = false;  // whether the first reply has set model, version and shape
};

}  // namespace zdc_fastsim
