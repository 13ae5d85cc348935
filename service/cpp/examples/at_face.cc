// Channel sums of particles that a full simulation hands over at the face. Usage: at_face [grpc://host:port]
#include <zdc_fastsim/client.h>

#include <cstdint>
#include <iostream>
#include <string>
#include <vector>

int main(int argc, char** argv) try {
  const zdc_fastsim::Client client(argc > 1 ? argv[1] : "grpc://127.0.0.1:8001");
  // px, py, pz [GeV/c] and x, y [cm] at the face; the server fills in z
  const std::vector<zdc_fastsim::Particle> particles = {{2112, 3.0f, 0, 1500, 1.2f, -0.4f},
                                                        {22, 0, -0.2f, -300, -2.5f, 0.1f}};
  const std::vector<std::string> names = client.model().channel_names;
  std::vector<std::uint32_t> sums(particles.size() * names.size());
  zdc_fastsim::CountBuffers buffers;
  buffers.channels = sums;
  zdc_fastsim::Request request;
  request.seed = 7;
  request.output = zdc_fastsim::Output::channels;
  request.frame = zdc_fastsim::Frame::face;
  client.simulate(particles, request, buffers);
  for (std::size_t i = 0; i < sums.size(); ++i) std::cout << names[i % names.size()] << ' ' << sums[i] << '\n';
} catch (const zdc_fastsim::Error& error) {  // also if the model does not know particles at the face
  std::cerr << error.what() << '\n';
  return 1;
}
