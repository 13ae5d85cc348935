// One attempt at a job: a stream of requests and replies.
#pragma once

#include <exception>
#include <memory>
#include <optional>

#include "channel.h"
#include "grpc_call.h"
#include "job.h"

namespace zdc_fastsim {

/// Sends the requests of a job and receives its replies, in the calling thread.
///
/// It writes and reads at the same time. Otherwise a deadlock would be possible: a server may stop reading until its
/// replies are read.
class Stream {
 public:
  Stream(const Connection& connection, const Deadline& deadline, Job& job);

  /// Returns when the job is done, a reply is from another version than the first one, or the stream ends early.
  ///
  /// @returns The failure, if the stream ended early.
  /// @throws Error if a reply is invalid.
  std::optional<Failure> run();

 private:
  using Call = grpc::ClientAsyncReaderWriter<wire::SimulateRequest, wire::SimulateResponse>;

  void started(bool ok);
  void read(bool ok);
  void write();
  void end(bool cancel);
  std::optional<Failure> outcome() const;

  Job& job_;
  grpc::ClientContext context_;
  grpc::CompletionQueue queue_;
  std::unique_ptr<Call> call_;  // ends before the queue
  wire::SimulateResponse reply_;
  grpc::Status status_;
  std::exception_ptr thrown_;
  std::uint32_t in_flight_;
  bool writing_ = false;
  bool written_ = false;  // whether all requests are written, or none can be written any more
  bool ending_ = false;
  bool another_version_ = false;
};

}  // namespace zdc_fastsim
