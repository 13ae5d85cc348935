// One call of simulate(): which requests it takes, and what has come back.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>

#include "rows.h"
#include "simulation.pb.h"
#include "zdc_fastsim/client.h"

namespace zdc_fastsim {

/// Cuts the rows of a call into requests of bounded size and puts the replies together. Rows are counted from 0 over
/// the particles and their repeats, so that a position among them is one number.
class Job {
 public:
  /// Throws InvalidInputError for what can be seen to be wrong without the server.
  Job(Span<const Particle> particles, const Request& request, std::uint32_t rows_per_request, Rows& rows);

  /// Whether there are requests that have not been sent.
  bool has_next() const { return next_ < size_; }

  /// The next request, which counts as sent from now on.
  wire::SimulateRequest next();

  /// Requests that were sent and are not answered.
  std::size_t in_flight() const { return sent_.size(); }

  /// Takes the next reply; false if another version answers than before, which leaves the rows as they were.
  bool take(const wire::SimulateResponse& reply);

  /// Whether all rows are there.
  bool done() const { return !has_next() && sent_.empty(); }

  /// The stream ended early: what was sent and not answered is to be sent again.
  void interrupted();

  /// First particle of the oldest request that is not answered, which is the one that errors speak of.
  std::size_t first_particle() const;

  /// Of the rows that are there.
  Result result() const;

  /// How many rows are there, in words; empty: none.
  std::string progress() const;

 private:
  struct Sent {
    std::uint64_t first;      // position of its first row
    std::uint32_t particles;  // how many
    std::uint32_t repeats;    // of each
    bool settled;             // it names model and version of the first reply
    std::size_t rows;         // in the buffers before its first reply
    std::size_t hits;
  };

  void write_particles(const Sent& sent, wire::Particles& message) const;
  void check_reply(const Sent& sent, const wire::SimulateResponse& reply) const;
  void check_particles(const Sent& sent, const wire::SimulateResponse& reply) const;

  Span<const Particle> particles_;
  const Request& request_;
  std::uint32_t rows_per_request_;
  Rows& rows_;
  std::uint64_t size_;      // N * repeats
  std::uint64_t next_ = 0;  // position of the first row that has not been sent
  std::deque<Sent> sent_;
  Result result_;
  bool started_ = false;  // by the first reply, which settles model, version and shape
};

}  // namespace zdc_fastsim
