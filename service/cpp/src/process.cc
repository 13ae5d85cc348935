#include "process.h"

#include <unistd.h>

#include <atomic>

#include "status.h"

namespace zdc_fastsim {
namespace {

std::atomic<pid_t> user{0};  // the process that created the first client; a forked process inherits the number

}  // namespace

Process::Process() : own_(getpid()) {
  pid_t first = 0;
  if (!user.compare_exchange_strong(first, own_) && first != own_) {
    throw_elsewhere(
        "this process was forked after its parent had created a client, and gRPC cannot work in both; create the first "
        "client after fork(), or start a new program in the child (exec)");
  }
}

bool Process::is_copy() const { return getpid() != own_; }

void Process::check() const {
  if (is_copy()) {
    throw_elsewhere(
        "the client belongs to the parent process and cannot be used in this one; create the first client after "
        "fork(), or start a new program in the child (exec)");
  }
}

}  // namespace zdc_fastsim
