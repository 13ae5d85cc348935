// Which process a client belongs to: gRPC's threads and connections do not come along into one that is forked from it.
#pragma once

#include <sys/types.h>

namespace zdc_fastsim {

/// Keeps clients to the first process that makes one. gRPC 1.51 does not let a parent and its child both use it, with
/// GRPC_ENABLE_FORK_SUPPORT neither: calls of either may never end. After the end of all clients of the parent most
/// calls of a child do, and some do not.
class Process {
 public:
  /// Throws NotReadyError where this process was forked from one that has made a client.
  Process();

  /// Whether this is not the process that made it.
  bool is_copy() const;

  /// Throws NotReadyError in another process than that which made it.
  void check() const;

 private:
  pid_t own_;
};

}  // namespace zdc_fastsim
