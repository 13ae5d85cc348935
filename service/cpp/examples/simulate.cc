// Channel sums of two particles. Usage: simulate [grpc://host:port]
#include <zdc_fastsim/client.h>

#include <cstdint>
#include <iostream>
#include <string>
#include <vector>

int main(int argc, char** argv) try {
  const zdc_fastsim::Client client(argc > 1 ? argv[1] : "grpc://127.0.0.1:8001");
  const std::vector<zdc_fastsim::Particle> particles = {{2112, 0.1f, 0, 1500}, {22, 0, 0.02f, 300}};  // px, py, pz
  const std::vector<std::string> names = client.model().channel_names;
  std::vector<std::uint32_t> sums(particles.size() * names.size());
  zdc_fastsim::CountBuffers buffers;
  buffers.channels = sums;
  zdc_fastsim::Request request;
  request.seed = 7;
  request.output = zdc_fastsim::Output::channels;
  client.simulate(particles, request, buffers);
  for (std::size_t i = 0; i < sums.size(); ++i) std::cout << names[i % names.size()] << ' ' << sums[i] << '\n';
} catch (const zdc_fastsim::Error& error) {
  std::cerr << error.what() << '\n';
  return 1;
}
