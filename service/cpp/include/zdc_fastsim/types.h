// What is asked of a simulation and what comes back. proto/zdc/v1/simulation.proto is the contract behind it.
#pragma once

#include <zdc_fastsim/span.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace zdc_fastsim {

/// One particle. Numbers are finite and within +-1e9 in their units, and |pz| is at least 1e-9 GeV/c.
struct Particle {
  std::int32_t pdg = 0;  ///< PDG Monte Carlo code.
  float px = 0;          ///< Momentum [GeV/c].
  float py = 0;
  float pz = 0;  ///< pz > 0 flies to side A, pz < 0 to side C.
  float vx = 0;  ///< Production vertex [cm].
  float vy = 0;
  float vz = 0;
  // Absent, these follow from momentum and PDG code. Each is given for all particles of a call or for none.
  std::optional<float> energy = {};  ///< Total energy [GeV]; must agree within 1 %.
  std::optional<float> mass = {};    ///< [MeV]; must agree with the PDG table within 2 %.
  std::optional<float> charge = {};  ///< [e], not |e|/3 as ROOT's TParticlePDG has it; must agree with the PDG table.
};

/// What is answered for each row.
enum class Output {
  response,  ///< The image: photons of every fibre; channel sums if there is a buffer for them.
  channels,  ///< The channel sums only.
  hits,      ///< The fibres with photons only; channel sums if there is a buffer for them.
};

/// What happens to a particle outside the species, energies or vertices that the model was trained on.
enum class OutOfRange {
  error,        ///< The call throws OutOfRangeError, which names the particle.
  skip,         ///< The particle gets no rows; counted in Result::skipped.
  /// A particle of a known species outside the energies or vertices is simulated all the same; counted in
  /// Result::extrapolated. For one of another species, of which the model knows nothing, the call throws OutOfRangeError.
  extrapolate,
};

/// How particles are simulated.
struct Request {
  /// Key of the random streams, 0 <= seed < 2^53. Absent: drawn for the call; Result::seed has it.
  std::optional<std::uint64_t> seed = {};
  /// Number of the first row. Particle i, repetition r has row first_row + i * repeats + r, and a row's random numbers
  /// depend on (seed, row) alone: who splits a job over several calls sets it, and the result stays the same.
  std::uint64_t first_row = 0;
  std::uint32_t repeats = 1;  ///< Responses per particle, at least 1.
  Output output = Output::response;
  OutOfRange out_of_range = OutOfRange::error;
  bool rates = false;            ///< The model's raw rates instead of photon counts; takes FloatBuffers.
  std::string model = {};        ///< Name of the model; empty: the server's default.
  std::uint32_t version = 0;     ///< Version of the model; 0: the newest one loaded, the same for the whole call.
  std::int64_t deadline_ms = 0;  ///< For this call [ms]; 0: that of Options.
};

/// Memory of the caller that a call fills, for M <= N * repeats rows of N particles: the repetitions of particle 0,
/// then those of particle 1, and so on. Each needs room for N * repeats rows. An empty span is not filled; what
/// Request::output names must be there. After an exception the contents are unspecified.
template <class Photons, class Sums>
struct Buffers {
  Span<Photons> response = {};           ///< Output::response: photons per fibre, M x rows x columns.
  Span<Sums> channels = {};              ///< Channel sums [photons], M x C.
  Span<std::uint64_t> hit_offsets = {};  ///< Output::hits: row m has the entries [m] to [m + 1] - 1; M + 1.
  Span<std::uint16_t> hit_fibre = {};    ///< Fibre = row * columns + column of each entry; any capacity.
  Span<Photons> hit_photons = {};        ///< Its photons, never zero; any capacity.
  Span<std::uint32_t> particle = {};     ///< Index into the particles of each row, M.
  Span<char> side = {};                  ///< Side that its particle flies to, 'A' (+z) or 'C' (-z), M.
};

/// For photon counts.
using CountBuffers = Buffers<std::uint16_t, std::uint32_t>;
/// For rates, and for counts as floats (exact for fibres, and for channel sums below 2^24 photons).
using FloatBuffers = Buffers<float, float>;

/// What is known about a call's rows.
struct Result {
  std::string model;                       ///< Name of the model that answered; empty where there was no particle.
  std::uint32_t version = 0;               ///< Its version, the same for all rows.
  std::uint64_t seed = 0;                  ///< Key of the random streams: the request's, or the one that was drawn.
  std::string finish;                      ///< How rates became these numbers: `none`, `round` or `poisson`.
  std::uint32_t image_rows = 0;            ///< Fibres along x.
  std::uint32_t image_columns = 0;         ///< Fibres along y.
  std::vector<std::string> channel_names;  ///< Of the C channels.
  std::size_t rows = 0;                    ///< M; N * repeats unless particles were skipped.
  std::size_t hits = 0;                    ///< Entries of hit_fibre and hit_photons; 0 unless Output::hits.
  std::map<std::string, std::uint64_t> skipped;       ///< Particles without rows, by `species`, `energy` or `vertex`.
  std::map<std::string, std::uint64_t> extrapolated;  ///< Particles simulated outside the trained range, by reason.
  std::uint32_t retries = 0;                          ///< How often the call had to be taken up again.
};

/// A species that a model was trained on.
struct Species {
  std::int32_t pdg = 0;
  std::string name;
  double least_energy = 0;  ///< Total energy [GeV], to the six digits that the server prints.
  double most_energy = 0;
};

/// What a server says of a model.
struct ModelInfo {
  std::string name;
  std::uint32_t version = 0;
  std::string description;
  std::string finish;                      ///< How rates become counts: `none`, `round` or `poisson`.
  std::uint32_t image_rows = 0;            ///< Fibres along x.
  std::uint32_t image_columns = 0;         ///< Fibres along y.
  std::vector<std::string> channel_names;  ///< Of the C channels.
  std::vector<Species> species;            ///< What it was trained on.
  std::uint64_t max_request_rows = 0;      ///< Most that Options::rows_per_request may be.
};

}  // namespace zdc_fastsim
