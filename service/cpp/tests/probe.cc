// Test program: one call with any options, which writes its results to files.
// Usage: probe ADDRESS PARTICLES FOLDER [name=value ...]; PARTICLES has a line of numbers per particle.
#include <zdc_fastsim/client.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <iostream>
#include <map>
#include <sstream>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>

namespace {

using zdc_fastsim::Particle;
using Settings = std::map<std::string, std::string>;

template <class T>
using Span = zdc_fastsim::Span<T>;
static_assert(std::is_constructible_v<Span<const int>, Span<int>> && std::is_trivially_copyable_v<Particle>);
static_assert(std::is_constructible_v<Span<int>, int (&)[3]> &&
              std::is_constructible_v<Span<const int>, const int (&)[3]>);
static_assert(std::is_constructible_v<Span<int>, std::vector<int>&>, "memory of the caller");
static_assert(!std::is_constructible_v<Span<int>, std::vector<int>>, "nobody could read what is written there");
static_assert(!std::is_constructible_v<Span<int>, const std::vector<int>&>, "it may not be written");
static_assert(!std::is_constructible_v<Span<int>, std::vector<long>&>, "another type");

/// Removes a setting and returns its value; settings that remain at the end are mistakes of the test.
std::string take(Settings& settings, const std::string& name, const std::string& otherwise = "") {
  const auto node = settings.extract(name);
  return node.empty() ? otherwise : node.mapped();
}

template <class Number>
void take_number(Settings& settings, const std::string& name, Number& number) {
  if (const std::string text = take(settings, name); !text.empty()) number = static_cast<Number>(std::stoll(text));
}

std::vector<Particle> read_particles(const std::string& path) {
  std::ifstream file(path);
  std::vector<Particle> particles;
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    Particle one;
    words >> one.pdg >> one.px >> one.py >> one.pz >> one.vx >> one.vy >> one.vz;
    for (auto* column : {&one.energy, &one.mass, &one.charge}) {
      if (float value; words >> value) *column = value;
    }
    particles.push_back(one);
  }
  return particles;
}

/// Buffers of a test, of the required size or of the size `size_NAME`.
template <class Photons, class Sums>
struct Memory {
  std::vector<Photons> response, hit_photons;
  std::vector<Sums> channels;
  std::vector<std::uint64_t> hit_offsets;
  std::vector<std::uint16_t> hit_fibre;
  std::vector<std::uint32_t> particle;
  std::vector<char> side;
  zdc_fastsim::Buffers<Photons, Sums> buffers;

  Memory(Settings settings, zdc_fastsim::Output output, std::size_t rows, std::size_t fibres, std::size_t columns) {
    const auto reserve = [&settings](auto& memory, auto& buffer, const char* name, std::size_t size) {
      take_number(settings, std::string("size_") + name, size);
      memory.resize(size);
      buffer = memory;
    };
    if (output == zdc_fastsim::Output::response) reserve(response, buffers.response, "response", rows * fibres);
    if (output == zdc_fastsim::Output::hits) {
      reserve(hit_offsets, buffers.hit_offsets, "hit_offsets", rows + 1);
      reserve(hit_fibre, buffers.hit_fibre, "hit_fibre", rows * fibres);
      reserve(hit_photons, buffers.hit_photons, "hit_photons", rows * fibres);
    }
    reserve(channels, buffers.channels, "channels", rows * columns);
    reserve(particle, buffers.particle, "particle", rows);
    reserve(side, buffers.side, "side", rows);
  }

  void write(const std::string& folder, const zdc_fastsim::Result& result) const {
    const auto save = [&folder](const char* name, const auto& memory, std::size_t size) {
      std::ofstream(folder + "/" + name, std::ios::binary)
          .write(reinterpret_cast<const char*>(memory.data()),
                 static_cast<std::streamsize>(std::min(size, memory.size()) * sizeof memory[0]));
    };
    const std::size_t rows = result.rows;
    save("response", response, rows * result.image_rows * result.image_columns);
    save("channels", channels, rows * result.channel_names.size());
    save("hit_offsets", hit_offsets, rows + 1);
    save("hit_fibre", hit_fibre, result.hits);
    save("hit_photons", hit_photons, result.hits);
    save("particle", particle, rows);
    save("side", side, rows);
  }
};

void print_counts(const char* name, const std::map<std::string, std::uint64_t>& counts) {
  for (const auto& [reason, count] : counts) std::cout << name << '_' << reason << '=' << count << '\n';
}

template <class Photons, class Sums>
void simulate(const zdc_fastsim::Client& client, const zdc_fastsim::Request& request, Settings& settings,
              const std::vector<Particle>& particles, const std::string& folder, const zdc_fastsim::ModelInfo& info) {
  const std::size_t rows = particles.size() * request.repeats;
  Memory<Photons, Sums> memory(settings, request.output, rows, std::size_t{info.image_rows} * info.image_columns,
                               info.channel_names.size());
  const zdc_fastsim::Result result = client.simulate(particles, request, memory.buffers);
  memory.write(folder, result);
  std::cout << "model=" << result.model << "\nversion=" << result.version << "\nseed=" << result.seed
            << "\nfinish=" << result.finish << "\nrows=" << result.rows << "\nhits=" << result.hits
            << "\nretries=" << result.retries << '\n';
  print_counts("skipped", result.skipped);
  print_counts("extrapolated", result.extrapolated);
}

zdc_fastsim::Options read_options(Settings& settings) {
  zdc_fastsim::Options options;
  for (auto& [name, text] : std::map<std::string, std::string*>{{"ca_file", &options.ca_file},
                                                                {"client_certificate", &options.client_certificate},
                                                                {"client_key", &options.client_key},
                                                                {"server_name", &options.server_name},
                                                                {"token", &options.token},
                                                                {"token_file", &options.token_file}}) {
    *text = take(settings, name);
  }
  take_number(settings, "rows_per_request", options.rows_per_request);
  take_number(settings, "in_flight", options.in_flight);
  take_number(settings, "max_attempts", options.max_attempts);
  take_number(settings, "initial_backoff_ms", options.initial_backoff_ms);
  take_number(settings, "max_backoff_ms", options.max_backoff_ms);
  take_number(settings, "keepalive_ms", options.keepalive_ms);
  return options;
}

zdc_fastsim::Request read_request(Settings& settings) {
  zdc_fastsim::Request request;
  if (const std::string seed = take(settings, "seed"); !seed.empty()) request.seed = std::stoull(seed);
  take_number(settings, "first_row", request.first_row);
  take_number(settings, "repeats", request.repeats);
  const std::map<std::string, zdc_fastsim::Output> outputs = {{"response", zdc_fastsim::Output::response},
                                                              {"channels", zdc_fastsim::Output::channels},
                                                              {"hits", zdc_fastsim::Output::hits}};
  request.output = outputs.at(take(settings, "output", "response"));
  const std::map<std::string, zdc_fastsim::OutOfRange> ways = {{"error", zdc_fastsim::OutOfRange::error},
                                                               {"skip", zdc_fastsim::OutOfRange::skip},
                                                               {"extrapolate", zdc_fastsim::OutOfRange::extrapolate}};
  request.out_of_range = ways.at(take(settings, "out_of_range", "error"));
  const std::map<std::string, zdc_fastsim::Frame> frames = {{"vertex", zdc_fastsim::Frame::vertex},
                                                            {"face", zdc_fastsim::Frame::face}};
  request.frame = frames.at(take(settings, "frame", "vertex"));
  take_number(settings, "rates", request.rates);
  request.model = take(settings, "model");
  take_number(settings, "version", request.version);
  take_number(settings, "deadline_ms", request.deadline_ms);
  return request;
}

void print(const zdc_fastsim::ModelInfo& info) {
  std::cout << "name=" << info.name << "\nversion=" << info.version << "\ndescription=" << info.description
            << "\nfinish=" << info.finish << "\nshape=" << info.image_rows << ',' << info.image_columns
            << "\nmax_request_rows=" << info.max_request_rows << "\nchannel_names=";
  for (const std::string& name : info.channel_names) std::cout << name << ';';
  std::cout << "\nspecies=";
  for (const zdc_fastsim::Species& one : info.species) {
    std::cout << one.pdg << ' ' << one.name << ' ' << one.least_energy << ' ' << one.most_energy << ';';
  }
  std::cout << '\n';
}

void run(const std::string& address, const std::string& path, const std::string& folder, Settings settings) {
  const bool floats = take(settings, "floats") == "1";
  const std::string shape = take(settings, "shape");  // fibres and channels, instead of a request to the server
  const int threads = std::stoi(take(settings, "threads", "1"));
  const bool only_model = take(settings, "only_model") == "1";
  const zdc_fastsim::Client client(address, read_options(settings));
  const zdc_fastsim::Request request = read_request(settings);
  zdc_fastsim::ModelInfo info;
  if (shape.empty()) {
    info = client.model(request.model, request.version);
  } else {
    info.image_rows = 1;
    info.image_columns = static_cast<std::uint32_t>(std::stoul(shape));
    info.channel_names.resize(std::stoul(shape.substr(shape.find(',') + 1)));
  }
  if (only_model) return print(info);
  const std::vector<Particle> particles = read_particles(path);
  const auto call = [&](const std::string& to) {
    Settings own = settings;
    const auto way = floats ? simulate<float, float> : simulate<std::uint16_t, std::uint32_t>;
    way(client, request, own, particles, to, info);
  };
  std::vector<std::thread> others;
  for (int i = 1; i < threads; ++i) others.emplace_back(call, folder + "/" + std::to_string(i));
  call(folder);
  for (std::thread& other : others) other.join();
}

std::string name_of(const zdc_fastsim::Error& error) {
  if (dynamic_cast<const zdc_fastsim::BufferError*>(&error)) return "BufferError";
  if (dynamic_cast<const zdc_fastsim::OutOfRangeError*>(&error)) return "OutOfRangeError";
  if (dynamic_cast<const zdc_fastsim::TooLargeError*>(&error)) return "TooLargeError";
  if (dynamic_cast<const zdc_fastsim::InvalidInputError*>(&error)) return "InvalidInputError";
  if (dynamic_cast<const zdc_fastsim::ConfigError*>(&error)) return "ConfigError";
  if (dynamic_cast<const zdc_fastsim::ModelNotFoundError*>(&error)) return "ModelNotFoundError";
  if (dynamic_cast<const zdc_fastsim::UnauthenticatedError*>(&error)) return "UnauthenticatedError";
  if (dynamic_cast<const zdc_fastsim::OverloadedError*>(&error)) return "OverloadedError";
  if (dynamic_cast<const zdc_fastsim::DeadlineError*>(&error)) return "DeadlineError";
  if (dynamic_cast<const zdc_fastsim::NotReadyError*>(&error)) return "NotReadyError";
  return "Error";
}

}  // namespace

/// For AddressSanitizer: gRPC's resolver sometimes leaks a name.
extern "C" __attribute__((visibility("default"))) const char* __lsan_default_suppressions() { return "leak:libcares"; }

int main(int argc, char** argv) {
  if (argc < 4) return 2;
  Settings settings;
  for (int i = 4; i < argc; ++i) {
    const std::string word = argv[i];
    settings[word.substr(0, word.find('='))] = word.substr(word.find('=') + 1);
  }
  try {
    run(argv[1], argv[2], argv[3], settings);
  } catch (const zdc_fastsim::Error& error) {
    std::cout << "error=" << name_of(error) << "\ncode=" << static_cast<int>(error.code()) << "\nkind=" << error.kind()
              << "\nmessage=" << error.what() << '\n';
    if (const auto* input = dynamic_cast<const zdc_fastsim::InvalidInputError*>(&error); input && input->particle()) {
      std::cout << "particle=" << *input->particle() << '\n';
    }
    if (const auto* buffer = dynamic_cast<const zdc_fastsim::BufferError*>(&error)) {
      std::cout << "size=" << buffer->size() << "\nneeded=" << buffer->needed() << '\n';
    }
    return 1;
  }
}
