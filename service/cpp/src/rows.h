// The caller's buffers, filled row by row.
#pragma once

#include <cstddef>
#include <cstdint>

#include "simulation.pb.h"
#include "zdc_fastsim/types.h"

namespace zdc_fastsim {

/// Where rows end up; the types of the numbers are those of the caller's buffers.
class Rows {
 public:
  virtual ~Rows() = default;

  /// Checks what can be checked before anything is sent.
  ///
  /// @param rows Most rows of the whole call.
  virtual void check(const Request& request, std::size_t rows) = 0;

  /// Checks the lengths that depend on the model.
  virtual void start(std::size_t fibres, std::size_t channels) = 0;

  /// Copies the rows of a reply behind those that are there.
  ///
  /// @param first_particle Particle of the call that the reply's particle 0 is.
  virtual void append(const wire::SimulateResponse& reply, std::size_t first_particle) = 0;

  /// Forgets all rows from number `rows` on.
  virtual void rewind(std::size_t rows, std::size_t hits) = 0;

  std::size_t rows() const { return rows_; }
  std::size_t hits() const { return hits_; }

 protected:
  std::size_t rows_ = 0;  // written
  std::size_t hits_ = 0;  // entries written
};

/// Rows in buffers of one kind.
template <class Photons, class Sums>
class RowsIn final : public Rows {
 public:
  explicit RowsIn(const Buffers<Photons, Sums>& buffers) : to_(buffers) {}

  void check(const Request& request, std::size_t rows) override;
  void start(std::size_t fibres, std::size_t channels) override;
  void append(const wire::SimulateResponse& reply, std::size_t first_particle) override;
  void rewind(std::size_t rows, std::size_t hits) override;

 private:
  void append_hits(const wire::SimulateResponse& reply, std::size_t rows);

  Buffers<Photons, Sums> to_;
  Output output_ = Output::response;
  std::size_t most_rows_ = 0;
  std::size_t fibres_ = 0;
  std::size_t channels_ = 0;
};

}  // namespace zdc_fastsim
