#include "job.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <random>
#include <string>

#include "status.h"

namespace zdc_fastsim {
namespace {

constexpr std::uint64_t kSeeds = std::uint64_t{1} << 53;
constexpr std::uint64_t kMostRows = std::uint64_t{1} << 63;

std::uint64_t fresh_seed() {
  std::random_device random;
  return ((static_cast<std::uint64_t>(random()) << 32) | random()) % kSeeds;
}

void check_column(Span<const Particle> particles, const char* name, std::optional<float> Particle::* column) {
  const bool given = !particles.empty() && (particles[0].*column).has_value();
  for (std::size_t i = 0; i < particles.size(); ++i) {
    if ((particles[i].*column).has_value() == given) continue;
    const std::string message = "particle[" + std::to_string(i) + "]: " + name + (given ? " is absent" : " is given") +
                                ", unlike for particle[0]; give it for all particles of a call, or for none";
    throw InvalidInputError(StatusCode::invalid_argument, "invalid_input", message, i);
  }
}

template <class T>
void append(std::string& bytes, T value) {
  bytes.append(reinterpret_cast<const char*>(&value), sizeof value);
}

}  // namespace

Job::Job(Span<const Particle> particles, const Request& request, std::uint32_t rows_per_request, Rows& rows)
    : particles_(particles), request_(request), rows_per_request_(rows_per_request), rows_(rows) {
  if (particles.size() > std::numeric_limits<std::uint32_t>::max()) {
    throw_invalid(std::to_string(particles.size()) + " particles are too many for one call; split them by first_row");
  }
  if (request.repeats < 1) throw_invalid("repeats = 0 must be at least 1");
  if (request.seed.value_or(0) >= kSeeds) {
    throw_invalid("seed = " + std::to_string(*request.seed) + " must be in [0, 2^53)");
  }
  size_ = particles.size() * std::uint64_t{request.repeats};
  if (request.first_row >= kMostRows || size_ > kMostRows - request.first_row) {
    throw_invalid("first_row = " + std::to_string(request.first_row) + ": all rows must be in [0, 2^63)");
  }
  check_column(particles, "energy", &Particle::energy);
  check_column(particles, "mass", &Particle::mass);
  check_column(particles, "charge", &Particle::charge);
  rows_.check(request, size_);
  result_.seed = request.seed ? *request.seed : fresh_seed();
}

wire::SimulateRequest Job::next() {
  const std::uint64_t particle = next_ / request_.repeats;
  const auto repeat = static_cast<std::uint32_t>(next_ % request_.repeats);
  Sent sent{next_, 1, std::min(rows_per_request_, request_.repeats - repeat), started_, rows_.rows(), rows_.hits()};
  if (sent.repeats == request_.repeats) {  // whole particles
    sent.particles = static_cast<std::uint32_t>(
        std::min<std::uint64_t>(rows_per_request_ / request_.repeats, particles_.size() - particle));
  }
  next_ += std::uint64_t{sent.particles} * sent.repeats;
  sent_.push_back(sent);

  wire::SimulateRequest message;
  write_particles(sent, *message.mutable_particles());
  message.set_seed(result_.seed);
  message.set_first_row(request_.first_row + sent.first);
  message.set_repeats(sent.repeats);
  switch (request_.output) {
    case Output::response:
      message.set_output(wire::OUTPUT_RESPONSE);
      break;
    case Output::channels:
      message.set_output(wire::OUTPUT_CHANNELS);
      break;
    case Output::hits:
      message.set_output(wire::OUTPUT_HITS);
      break;
  }
  switch (request_.out_of_range) {
    case OutOfRange::error:
      message.set_out_of_range(wire::OUT_OF_RANGE_ERROR);
      break;
    case OutOfRange::skip:
      message.set_out_of_range(wire::OUT_OF_RANGE_SKIP);
      break;
    case OutOfRange::extrapolate:
      message.set_out_of_range(wire::OUT_OF_RANGE_EXTRAPOLATE);
      break;
  }
  if (request_.frame == Frame::face) message.set_frame(wire::FRAME_FACE);
  if (request_.rates) message.set_finish(wire::FINISH_NONE);
  message.set_model(started_ ? result_.model : request_.model);
  message.set_version(started_ ? result_.version : request_.version);
  return message;
}

void Job::write_particles(const Sent& sent, wire::Particles& message) const {
  const Particle* begin = particles_.data() + sent.first / request_.repeats;
  for (const Particle* one = begin; one != begin + sent.particles; ++one) {
    append(*message.mutable_pdg(), one->pdg);
    for (const float value : {one->px, one->py, one->pz}) append(*message.mutable_momentum(), value);
    for (const float value : {one->vx, one->vy, one->vz}) append(*message.mutable_vertex(), value);
    if (one->energy) append(*message.mutable_energy(), *one->energy);
    if (one->mass) append(*message.mutable_mass(), *one->mass);
    if (one->charge) append(*message.mutable_charge(), *one->charge);
  }
}

bool Job::take(const wire::SimulateResponse& reply) {
  if (sent_.empty()) throw_malformed("there is a reply without a request");
  Sent& sent = sent_.front();
  if (started_ && (reply.version() != result_.version || reply.model() != result_.model)) {
    if (sent.settled) throw_malformed("it is from another version than requested");
    return false;
  }
  check_reply(sent, reply);
  if (!started_) {
    result_.model = reply.model();
    result_.version = reply.version();
    result_.finish = reply.finish();
    result_.image_rows = reply.shape(0);
    result_.image_columns = reply.shape(1);
    result_.channel_names.assign(reply.channel_names().begin(), reply.channel_names().end());
    rows_.start(std::size_t{result_.image_rows} * result_.image_columns, result_.channel_names.size());
    started_ = true;
  }
  rows_.append(reply, sent.first / request_.repeats);
  if (!reply.last()) return true;

  if (sent.first % request_.repeats == 0) {  // each particle is counted once, with its first repeat
    for (const auto& [reason, count] : reply.skipped()) result_.skipped[reason] += count;
    for (const auto& [reason, count] : reply.extrapolated()) result_.extrapolated[reason] += count;
  }
  sent_.pop_front();
  if (!sent_.empty()) {
    sent_.front().rows = rows_.rows();
    sent_.front().hits = rows_.hits();
  }
  return true;
}

void Job::check_reply(const Sent& sent, const wire::SimulateResponse& reply) const {
  if (reply.seed() != result_.seed || reply.first_row() != request_.first_row + sent.first) {
    throw_malformed("it belongs to another request");
  }
  if (request_.frame == Frame::face && reply.frame() != wire::FRAME_FACE) {
    throw_invalid("the server is too old for Frame::face: it takes every particle as given at its vertex; update it");
  }
  const bool same_shape =
      !started_ ||
      (static_cast<std::size_t>(reply.channel_names_size()) == result_.channel_names.size() &&
       reply.shape_size() == 2 && reply.shape(0) == result_.image_rows && reply.shape(1) == result_.image_columns);
  if (reply.shape_size() != 2 || !same_shape) throw_malformed("its shape differs from the model's");
  check_particles(sent, reply);
}

void Job::check_particles(const Sent& sent, const wire::SimulateResponse& reply) const {
  if (reply.particle().size() % sizeof(std::uint32_t) != 0) throw_malformed("particle is truncated");
  const std::size_t rows = reply.particle().size() / sizeof(std::uint32_t);
  const std::size_t before = rows_.rows() - sent.rows;
  const std::size_t most = std::size_t{sent.particles} * sent.repeats;
  const bool all = request_.out_of_range != OutOfRange::skip;
  if (rows > most - before || (all && reply.last() && rows != most - before)) {
    throw_malformed("it has " + counted(before + rows, "row") + " instead of " + std::to_string(most));
  }
  for (std::size_t i = 0; i < rows; ++i) {
    std::uint32_t index;
    std::memcpy(&index, reply.particle().data() + i * sizeof index, sizeof index);
    if (index >= sent.particles || (all && index != (before + i) / sent.repeats)) {
      throw_malformed("its rows are not in order");
    }
  }
}

void Job::interrupted() {
  if (sent_.empty()) return;
  const Sent& sent = sent_.front();
  const std::size_t kept = rows_.rows() - sent.rows;
  // The counts by reason are in the last reply only, so the whole request is repeated.
  if (request_.out_of_range == OutOfRange::error) {
    next_ = sent.first + kept;
  } else {
    rows_.rewind(sent.rows, sent.hits);
    next_ = sent.first;
  }
  sent_.clear();
}

std::size_t Job::first_particle() const { return (sent_.empty() ? next_ : sent_.front().first) / request_.repeats; }

Result Job::result() const {
  Result result = result_;
  result.rows = rows_.rows();
  result.hits = rows_.hits();
  return result;
}

std::string Job::progress() const {
  return rows_.rows() == 0 ? "" : std::to_string(rows_.rows()) + " of " + counted(size_, "row");
}

}  // namespace zdc_fastsim
