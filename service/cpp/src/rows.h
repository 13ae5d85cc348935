// Writes rows to the caller's buffers.
#pragma once

#include <cstddef>
#include <cstdint>

#include "simulation.pb.h"
#include "zdc_fastsim/types.h"

namespace zdc_fastsim {

/// Writer of rows, independent of the number types of the caller's buffers.
class Rows {
 public:
  virtual ~Rows() = default;

  /// Checks the buffers before the first request, as far as possible.
  ///
  /// @param rows Maximum number of rows of the whole call.
  virtual void check(const Request& request, std::size_t rows) = 0;

  /// Checks the sizes that depend on the model.
  virtual void start(std::size_t fibres, std::size_t channels) = 0;

  /// Appends the rows of a reply.
  ///
  /// @param first_particle Number within the call of the reply's particle 0.
  virtual void append(const wire::SimulateResponse& reply, std::size_t first_particle) = 0;

  /// Discards all rows from number `rows` on.
  virtual void rewind(std::size_t rows, std::size_t hits) = 0;

  std::size_t rows() const { return rows_; }
  std::size_t hits() const { return hits_; }

 protected:
  std::size_t rows_ = 0;  // rows written
  std::size_t hits_ = 0;  // hits written
};

/// Writer for buffers with these number types.
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
