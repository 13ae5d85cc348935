// One stream of zdc.v1.Simulation/SimulateStream that carries many requests in flight. Replies come in the order of the
// requests, one or more for each; field 17 (`last`) marks the final one.
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <cstdint>
#include <deque>
#include <vector>

#include "channel.h"

namespace {

// Whether a serialized SimulateResponse has `last` set: steps from field to field without looking into them.
bool is_last(const grpc::ByteBuffer& buffer) {
  std::vector<grpc::Slice> slices;
  if (!buffer.Dump(&slices).ok()) return false;
  std::size_t slice = 0, at = 0;
  const auto skip = [&](std::uint64_t bytes) {
    at += bytes;
    while (slice < slices.size() && at >= slices[slice].size()) at -= slices[slice++].size();
  };
  skip(0);
  const auto number = [&] {
    std::uint64_t value = 0;
    for (int shift = 0; slice < slices.size() && shift < 64; shift += 7) {
      const std::uint8_t byte = slices[slice].begin()[at];
      skip(1);
      value |= static_cast<std::uint64_t>(byte & 127) << shift;
      if (byte < 128) break;
    }
    return value;
  };
  while (slice < slices.size()) {
    const std::uint64_t tag = number();
    switch (tag & 7) {
      case 0: {
        const std::uint64_t value = number();
        if (tag >> 3 == 17) return value != 0;
        break;
      }
      case 1: skip(8); break;
      case 2: skip(number()); break;
      case 5: skip(4); break;
      default: return false;
    }
  }
  return false;
}

}  // namespace

Log over_grpc_stream(const Options& options) {
  grpc::CompletionQueue queue;
  const auto requests = messages(options);
  grpc::GenericStub stub(channel(options));
  grpc::ClientContext context;
  context.set_wait_for_ready(true);
  context.set_deadline(std::chrono::system_clock::now() + of_seconds(options.warm_up + options.seconds + 30));
  const auto call = stub.PrepareCall(&context, options.method, &queue);
  Log log(options);
  // Tags: what has ended.
  enum : std::intptr_t { kStarted = 1, kWritten, kRead, kClosed, kFinished };
  const auto tag = [](std::intptr_t what) { return reinterpret_cast<void*>(what); };
  std::deque<Clock::time_point> sent;
  grpc::ByteBuffer reply;
  grpc::Status status;
  std::size_t turn = 0, bytes = 0;
  bool writing = false, open = true;
  const auto write = [&] {
    if (writing || !open || sent.size() >= options.clients) return;
    writing = true;
    sent.push_back(Clock::now());
    call->Write(requests[turn++ % requests.size()], tag(kWritten));
  };
  call->StartCall(tag(kStarted));
  void* ended = nullptr;
  bool ok = false;
  while (queue.Next(&ended, &ok)) {
    const auto what = reinterpret_cast<std::intptr_t>(ended);
    if (what == kFinished) break;
    if (what == kWritten) writing = false;
    if (what == kRead && ok) {
      bytes += reply.Length();
      if (is_last(reply)) {
        log.answered(sent.front(), bytes);
        sent.pop_front();
        bytes = 0;
      }
    }
    if (what == kClosed) continue;
    if ((what == kStarted || what == kRead) && !ok) {
      call->Finish(&status, tag(kFinished));
    } else if (what == kStarted || what == kRead) {
      call->Read(&reply, tag(kRead));
    }
    if (!ok) {
      open = false;
    } else if (open && !writing && turn > 0 && log.over()) {
      open = false;
      call->WritesDone(tag(kClosed));
    }
    write();
  }
  queue.Shutdown();
  while (queue.Next(&ended, &ok)) {
  }
  if (!status.ok()) log.error("gRPC " + std::to_string(status.error_code()) + ": " + status.error_message());
  return log;
}
