// Calls in a program and in forked processes; each line of output names the process and the result of its call.
// Usage: forks ADDRESS {none|unused|used|closed}: state of the program's client at the fork.
#include <sys/wait.h>
#include <unistd.h>
#include <zdc_fastsim/client.h>

#include <cstdint>
#include <iostream>
#include <optional>
#include <string>
#include <vector>

using zdc_fastsim::Client;

namespace {

bool is_child = false;

void print(const std::string& who, const zdc_fastsim::Error& error) {
  std::cout << who << '=' << static_cast<int>(error.code()) << ' ' << error.kind() << ": " << error.what() << std::endl;
}

void call(const Client& client, const std::string& who) {
  const std::vector<zdc_fastsim::Particle> particles = {{2112, 0, 0, 100}};
  std::vector<std::uint32_t> sums(5);
  zdc_fastsim::CountBuffers buffers;
  buffers.channels = sums;
  zdc_fastsim::Request request;
  request.seed = 7;
  request.output = zdc_fastsim::Output::channels;
  request.deadline_ms = 20'000;
  try {
    client.simulate(particles, request, buffers);
    std::cout << who << "=answered" << std::endl;
  } catch (const zdc_fastsim::Error& error) {
    print(who, error);
  }
}

/// Forks, and returns true in the child. The parent waits for the child's end; a child that hangs is ended by alarm().
bool forked(const std::string& who) {
  std::cout.flush();
  const pid_t child = fork();
  if (child == 0) {
    alarm(60);
    return is_child = true;
  }
  int status = 0;
  waitpid(child, &status, 0);
  std::cout << who << " ended=" << status << std::endl;
  return false;
}

void make_and_call(const std::string& address, const std::string& who) {
  try {
    call(Client(address), who);
  } catch (const zdc_fastsim::Error& error) {
    print(who, error);
  }
}

}  // namespace

/// For AddressSanitizer: memory of threads that do not exist in a child looks like a leak.
extern "C" __attribute__((visibility("default"))) int __lsan_is_turned_off() { return is_child ? 1 : 0; }

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  const std::string address = argv[1], situation = argv[2];
  std::optional<Client> client;
  if (situation != "none") client.emplace(address);
  if (situation == "used" || situation == "closed") call(*client, "parent");
  if (situation == "closed") client.reset();
  for (const std::string who : {"child", "second child"}) {
    if (!forked(who)) continue;
    make_and_call(address, who);
    if (client) call(*client, who + " with the parent's");
    if (client) *client = Client(std::move(*client));  // can be moved and destroyed
    if (forked(who + "'s child")) make_and_call(address, who + "'s child");
    return 0;  // a normal end, with all destructors
  }
  if (!client) client.emplace(address);
  call(*client, "parent again");
}
