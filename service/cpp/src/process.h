// The process that owns a client: gRPC's threads and connections do not exist in a forked process.
#pragma once

#include <sys/types.h>

namespace zdc_fastsim {

/// Restricts clients to the first process that creates one. In gRPC 1.51, also with GRPC_ENABLE_FORK_SUPPORT, calls may
/// never end if both a parent and its child use gRPC. Even if all clients of the parent are destroyed before the fork,
/// some calls of the child never end.
class Process {
 public:
  /// Throws NotReadyError if this process was forked after its parent had created a client.
  Process();

  /// Whether this is another process than the one that created the object.
  bool is_copy() const;

  /// Throws NotReadyError in another process than the one that created the object.
  void check() const;

 private:
  pid_t own_;
};

}  // namespace zdc_fastsim
