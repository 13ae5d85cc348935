// Requests and results of a simulation. proto/zdc/v1/simulation.proto defines the corresponding messages.
#pragma once

#include <zdc_fastsim/span.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace zdc_fastsim {

/// One particle. Numbers must be finite and within +-1e9 in their units, and |pz| at least 1e-9 GeV/c.
struct Particle {
  std::int32_t pdg = 0;  ///< PDG Monte Carlo code.
  float px = 0;          ///< Momentum [GeV/c].
  float py = 0;
  float pz = 0;  ///< pz > 0 flies to side A, pz < 0 to side C.
  float vx = 0;  ///< Production vertex [cm]; with Frame::face, vx and vy are the position at the face.
  float vy = 0;
  float vz = 0;
  // If absent, these follow from momentum and PDG code. Each must be given for all particles of a call, or for none.
  std::optional<float> energy = {};  ///< Total energy [GeV]; must agree within 1 %.
  std::optional<float> mass = {};    ///< [MeV]; must agree with the PDG table within 2 %.
  std::optional<float> charge = {};  ///< [e] (ROOT's TParticlePDG has |e|/3); must agree with the PDG table.
};

/// The result for each row.
enum class Output {
  response,  ///< The image: photons of every fibre; channel sums if there is a buffer for them.
  channels,  ///< The channel sums only.
  hits,      ///< The fibres with photons only; channel sums if there is a buffer for them.
};

/// The treatment of particles outside the model's training range of species, energies, vertices, and positions and
/// slopes at the face.
enum class OutOfRange {
  error,        ///< The call throws OutOfRangeError, which names the particle.
  skip,         ///< The particle gets no rows; counted in Result::skipped.
  /// A particle of a known species is simulated in spite of its energy, vertex, position or slope; counted in
  /// Result::extrapolated. For an unknown species or frame, the call throws OutOfRangeError.
  extrapolate,
};

/// Where positions and momenta are given.
enum class Frame {
  vertex,  ///< At the production vertex.
  /// At the plane of the calorimeter's face. Particle::vz is filled in by the server; it must be 0, which counts as not
  /// given, or that of the face. The model must know this frame. For charged particles it is the only way: magnets sweep
  /// them away between their vertex and the face.
  face,
};

/// Options of one call.
struct Request {
  /// Random seed, 0 <= seed < 2^53. If absent, it is drawn for the call; Result::seed has its value.
  std::optional<std::uint64_t> seed = {};
  /// Number of the first row. Repetition r of particle i has the row first_row + i * repeats + r. The random numbers of
  /// a row depend only on (seed, row), so a job can be split over several calls, with the same result.
  std::uint64_t first_row = 0;
  std::uint32_t repeats = 1;  ///< Responses per particle, at least 1.
  Output output = Output::response;
  OutOfRange out_of_range = OutOfRange::error;
  bool rates = false;            ///< The model's photon rates instead of photon counts; needs FloatBuffers.
  std::string model = {};        ///< Name of the model; empty: the server's default.
  std::uint32_t version = 0;     ///< Version of the model; 0: the newest one loaded, the same for the whole call.
  std::int64_t deadline_ms = 0;  ///< For this call [ms]; 0: that of Options.
  Frame frame = Frame::vertex;   ///< Where the particles are given.
};

/// The caller's memory for M <= N * repeats rows of N particles: the repetitions of particle 0, then those of particle
/// 1, and so on. Each buffer needs room for N * repeats rows. An empty buffer is not filled; the buffers for
/// Request::output are required. After an exception the contents are unspecified.
template <class Photons, class Sums>
struct Buffers {
  Span<Photons> response = {};           ///< Output::response: photons per fibre, M x rows x columns.
  Span<Sums> channels = {};              ///< Channel sums [photons], M x C.
  Span<std::uint64_t> hit_offsets = {};  ///< Output::hits: row m has the entries from [m] to [m + 1] - 1; M + 1.
  Span<std::uint16_t> hit_fibre = {};    ///< Fibre = row * columns + column of each entry; any capacity.
  Span<Photons> hit_photons = {};        ///< Photons of this fibre, never zero; any capacity.
  Span<std::uint32_t> particle = {};     ///< Index of each row's particle, M.
  Span<char> side = {};                  ///< Direction of each row's particle, 'A' (+z) or 'C' (-z), M.
};

/// For photon counts.
using CountBuffers = Buffers<std::uint16_t, std::uint32_t>;
/// For rates, and for counts as floats (exact for fibres, and for channel sums below 2^24 photons).
using FloatBuffers = Buffers<float, float>;

/// Properties of a call's rows.
struct Result {
  std::string model;                       ///< Name of the model; empty for a call without particles.
  std::uint32_t version = 0;               ///< Version of the model, the same for all rows.
  std::uint64_t seed = 0;                  ///< Random seed: that of the request, or the drawn one.
  std::string finish;                      ///< How photons were made from rates: `none`, `round` or `poisson`.
  std::uint32_t image_rows = 0;            ///< Fibres along x.
  std::uint32_t image_columns = 0;         ///< Fibres along y.
  std::vector<std::string> channel_names;  ///< Of the C channels.
  std::size_t rows = 0;                    ///< M; N * repeats unless particles were skipped.
  std::size_t hits = 0;                    ///< Entries of hit_fibre and hit_photons; 0 unless Output::hits.
  std::map<std::string, std::uint64_t> skipped;       ///< Particles without rows, by reason, e.g. `energy`.
  std::map<std::string, std::uint64_t> extrapolated;  ///< Particles simulated outside the training range, by reason.
  std::uint32_t retries = 0;                          ///< Number of retries during the call.
};

/// A species that a model was trained on.
struct Species {
  std::int32_t pdg = 0;
  std::string name;
  double least_energy = 0;  ///< Total energy [GeV], to the six digits that the server prints.
  double most_energy = 0;
};

/// Properties of a model.
struct ModelInfo {
  std::string name;
  std::uint32_t version = 0;
  std::string description;
  std::string finish;                      ///< How photons are made from rates: `none`, `round` or `poisson`.
  std::uint32_t image_rows = 0;            ///< Fibres along x.
  std::uint32_t image_columns = 0;         ///< Fibres along y.
  std::vector<std::string> channel_names;  ///< Of the C channels.
  std::vector<Species> species;            ///< The species of the training range.
  std::uint64_t max_request_rows = 0;      ///< Maximum of Options::rows_per_request.
};

}  // namespace zdc_fastsim
