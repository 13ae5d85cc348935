// Two clients in one process, each moved, fill one half of an array each; in C++20.
// Usage: two_clients ADDRESS ADDRESS
#include <zdc_fastsim/client.h>

#include <array>
#include <cstdint>
#include <iostream>
#include <span>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

using zdc_fastsim::Client;
using zdc_fastsim::Span;

static_assert(std::is_nothrow_move_constructible_v<Client> && std::is_nothrow_move_assignable_v<Client>);
static_assert(!std::is_copy_constructible_v<Client> && !std::is_convertible_v<std::string, Client>);
static_assert(std::is_constructible_v<Span<int>, std::span<int>> && std::is_constructible_v<Span<int>, Span<int>>);
static_assert(std::is_constructible_v<Span<const int>, std::span<int>> &&
              !std::is_constructible_v<Span<int>, std::span<const int>>);
static_assert(!std::is_constructible_v<Span<int>, std::array<int, 3>> &&
              std::is_constructible_v<Span<const int>, std::array<int, 3>>);

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  constexpr std::size_t kHalf = 30, kChannels = 5;
  std::vector<zdc_fastsim::Particle> particles(2 * kHalf);
  for (std::size_t i = 0; i < particles.size(); ++i) particles[i] = {.pdg = 2112, .pz = 100.0f + static_cast<float>(i)};
  std::vector<std::uint32_t> sums(particles.size() * kChannels);

  std::vector<Client> clients;
  clients.emplace_back(argv[1], zdc_fastsim::Options{.rows_per_request = 7});
  clients.emplace_back(argv[2]);  // moves the first
  Client elsewhere = std::move(clients[0]);
  clients[0] = std::move(elsewhere);

  const auto simulate = [&](std::size_t i) {
    clients[i].simulate(std::span(particles).subspan(i * kHalf, kHalf),
                        {.seed = 5, .first_row = i * kHalf, .output = zdc_fastsim::Output::channels},
                        {.channels = std::span(sums).subspan(i * kHalf * kChannels, kHalf * kChannels)});
  };
  std::thread other(simulate, 1);
  simulate(0);
  other.join();
  for (const std::uint32_t sum : sums) std::cout << sum << '\n';
}
