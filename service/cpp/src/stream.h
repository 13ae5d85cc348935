// One attempt at a job: a stream of requests and replies.
#pragma once

#include <exception>
#include <memory>
#include <optional>

#include "channel.h"
#include "grpc_call.h"
#include "job.h"

namespace zdc_fastsim {

/// Sends the requests of a job and takes its replies, in the thread that runs it.
///
/// Both go at once: were replies read only after all requests are written, a server that holds up its reading until it
/// is read from, and a client that waits for it, would wait for each other.
class Stream {
 public:
  Stream(const Connection& connection, const Deadline& deadline, Job& job);

  /// Returns when the job is done, another version answers than at its beginning, or the stream ends too early.
  ///
  /// @returns Why it ended too early, if it did.
  /// @throws Error what the job throws of a reply.
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
  bool written_ = false;  // all of it, or no more can be
  bool ending_ = false;
  bool another_version_ = false;
};

}  // namespace zdc_fastsim
