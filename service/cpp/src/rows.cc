#include "rows.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <string>
#include <type_traits>

#include "status.h"

namespace zdc_fastsim {
namespace {

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
              "messages have little-endian arrays, which are copied unchanged");

template <class T>
constexpr wire::ElementType kType = wire::ELEMENT_TYPE_UNSPECIFIED;
template <>
constexpr wire::ElementType kType<std::uint16_t> = wire::ELEMENT_TYPE_UINT16;
template <>
constexpr wire::ElementType kType<std::uint32_t> = wire::ELEMENT_TYPE_UINT32;
template <>
constexpr wire::ElementType kType<float> = wire::ELEMENT_TYPE_FLOAT32;

/// Throws BufferError unless `size` is at least `rows` x `each`; an overflow counts as the largest number.
void need(const char* name, std::size_t size, std::size_t rows, std::size_t each, const char* of) {
  const std::size_t most = std::numeric_limits<std::size_t>::max();
  const std::size_t needed = each != 0 && rows > most / each ? most : rows * each;
  if (size < needed) {
    throw BufferError("the buffer " + std::string(name) + " has " + counted(size, "element") + " and needs " +
                          std::to_string(needed) + ": " + counted(rows, "row") + " (particles x repeats)" + of,
                      size, needed);
  }
}

void need_length(const char* name, const std::string& bytes, std::size_t elements, std::size_t size) {
  if (bytes.size() / size != elements || bytes.size() % size != 0) {
    throw_malformed(std::string(name) + " has " + counted(bytes.size(), "byte") + " for " +
                    counted(elements, "element") + " of " + std::to_string(size));
  }
}

template <class From, class To>
void copy(const std::string& bytes, To* to) {
  const std::size_t elements = bytes.size() / sizeof(From);
  if constexpr (std::is_same_v<From, To>) {
    if (elements != 0) std::memcpy(to, bytes.data(), bytes.size());
  } else {
    for (std::size_t i = 0; i < elements; ++i) {
      From value;
      std::memcpy(&value, bytes.data() + i * sizeof(From), sizeof(From));
      to[i] = static_cast<To>(value);
    }
  }
}

/// Copies `elements` numbers, which are of type Count in the message, or float for rates.
template <class Count, class To>
void copy_numbers(const char* name, wire::ElementType type, const std::string& bytes, std::size_t elements, To* to) {
  if (type == kType<Count>) {
    need_length(name, bytes, elements, sizeof(Count));
    copy<Count>(bytes, to);
  } else if (type != kType<float>) {
    throw_malformed(std::string(name) + " has elements of type " + std::to_string(type));
  } else if constexpr (std::is_same_v<To, float>) {
    need_length(name, bytes, elements, sizeof(float));
    copy<float>(bytes, to);
  } else {
    throw_invalid("this model returns rates, which are float32; use FloatBuffers");
  }
}

}  // namespace

template <class Photons, class Sums>
void RowsIn<Photons, Sums>::check(const Request& request, std::size_t rows) {
  output_ = request.output;
  most_rows_ = rows;
  if (request.rates && !std::is_same_v<Photons, float>) throw_invalid("rates are float32; use FloatBuffers");
  if (!to_.response.empty() && output_ != Output::response) {
    throw_invalid("the buffer response needs Output::response; leave it empty, or request that output");
  }
  const bool hits = !to_.hit_offsets.empty() || !to_.hit_fibre.empty() || !to_.hit_photons.empty();
  if (hits && output_ != Output::hits) {
    throw_invalid("the buffers of hits need Output::hits; leave them empty, or request that output");
  }
  if (output_ == Output::hits) {
    need("hit_offsets", to_.hit_offsets.size(), rows + 1, 1, " and one more");
    to_.hit_offsets[0] = 0;
  }
  if (!to_.particle.empty()) need("particle", to_.particle.size(), rows, 1, "");
  if (!to_.side.empty()) need("side", to_.side.size(), rows, 1, "");
}

template <class Photons, class Sums>
void RowsIn<Photons, Sums>::start(std::size_t fibres, std::size_t channels) {
  fibres_ = fibres;
  channels_ = channels;
  if (output_ == Output::response) {
    need("response", to_.response.size(), most_rows_, fibres, (" of " + std::to_string(fibres) + " fibres").c_str());
  }
  if (output_ == Output::channels || !to_.channels.empty()) {
    need("channels", to_.channels.size(), most_rows_, channels,
         (" of " + std::to_string(channels) + " channels").c_str());
  }
}

template <class Photons, class Sums>
void RowsIn<Photons, Sums>::append(const wire::SimulateResponse& reply, std::size_t first_particle) {
  const std::size_t rows = reply.particle().size() / sizeof(std::uint32_t);
  if (rows > most_rows_ - rows_) throw_malformed("there are more rows than requested");
  need_length("side", reply.side(), rows, 1);
  if (!to_.channels.empty()) {
    copy_numbers<std::uint32_t>("channels", reply.channel_type(), reply.channels(), rows * channels_,
                                to_.channels.data() + rows_ * channels_);
  }
  if (output_ == Output::response) {
    copy_numbers<std::uint16_t>("response", reply.photon_type(), reply.response(), rows * fibres_,
                                to_.response.data() + rows_ * fibres_);
  }
  if (output_ == Output::hits) append_hits(reply, rows);
  if (!to_.particle.empty()) {
    std::uint32_t* to = to_.particle.data() + rows_;
    copy<std::uint32_t>(reply.particle(), to);
    for (std::size_t i = 0; i < rows; ++i) to[i] += static_cast<std::uint32_t>(first_particle);
  }
  if (!to_.side.empty()) copy<char>(reply.side(), to_.side.data() + rows_);
  rows_ += rows;
}

template <class Photons, class Sums>
void RowsIn<Photons, Sums>::append_hits(const wire::SimulateResponse& reply, std::size_t rows) {
  const wire::Hits& hits = reply.hits();
  need_length("hits.offsets", hits.offsets(), rows + 1, sizeof(std::uint64_t));
  const std::size_t entries = hits.fibre().size() / sizeof(std::uint16_t);
  need_length("hits.fibre", hits.fibre(), entries, sizeof(std::uint16_t));
  if (entries > rows * fibres_) throw_malformed("there are more hits than fibres");
  const std::size_t capacity = std::min(to_.hit_fibre.size(), to_.hit_photons.size());
  if (entries > capacity - hits_) {
    const char* name = to_.hit_fibre.size() == capacity ? "hit_fibre" : "hit_photons";
    const std::size_t needed = hits_ + entries;
    need(name, capacity, most_rows_, fibres_,
         (" of " + std::to_string(fibres_) + " fibres always suffice; the first " + std::to_string(rows_ + rows) +
          " have " + std::to_string(needed) + " hits")
             .c_str());
  }
  std::uint64_t* offsets = to_.hit_offsets.data() + rows_;
  copy<std::uint64_t>(hits.offsets(), offsets);
  if (offsets[0] != 0 || offsets[rows] != entries) throw_malformed("hits.offsets do not span the hits");
  for (std::size_t i = 0; i <= rows; ++i) {
    offsets[i] += hits_;
    if (i != 0 && offsets[i] < offsets[i - 1]) throw_malformed("hits.offsets decrease");
  }
  std::uint16_t* fibre = to_.hit_fibre.data() + hits_;
  copy<std::uint16_t>(hits.fibre(), fibre);
  if (std::any_of(fibre, fibre + entries, [this](std::uint16_t i) { return i >= fibres_; })) {
    throw_malformed("hits.fibre names a fibre that does not exist");
  }
  copy_numbers<std::uint16_t>("hits.photons", reply.photon_type(), hits.photons(), entries,
                              to_.hit_photons.data() + hits_);
  hits_ += entries;
}

template <class Photons, class Sums>
void RowsIn<Photons, Sums>::rewind(std::size_t rows, std::size_t hits) {
  rows_ = rows;
  hits_ = hits;
}

template class RowsIn<std::uint16_t, std::uint32_t>;
template class RowsIn<float, float>;

}  // namespace zdc_fastsim
