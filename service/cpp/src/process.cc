#include "process.h"

#include <unistd.h>

#include <atomic>

#include "status.h"

namespace zdc_fastsim {
namespace {

std::atomic<pid_t> user{0};  // the process that made the first client; one that is forked from it inherits the number

}  // namespace

Process::Process() : own_(getpid()) {
  pid_t first = 0;
  if (!user.compare_exchange_strong(first, own_) && first != own_) {
    throw_elsewhere(
        "this process was forked from one that has made a client, and gRPC does not work in both; make the first "
        "client "
        "after fork(), or start the child's program anew (exec)");
  }
}

bool Process::is_copy() const { return getpid() != own_; }

void Process::check() const {
  if (is_copy()) {
    throw_elsewhere(
        "the client belongs to the process that this one was forked from, and does not work in this one; make the "
        "first "
        "client after fork(), or start the child's program anew (exec)");
  }
}

}  // namespace zdc_fastsim
