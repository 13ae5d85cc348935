#include "stream.h"

#include <cstdint>
#include <utility>

namespace zdc_fastsim {
namespace {

constexpr const char* kSimulateStream = "/zdc.v1.Simulation/SimulateStream";

/// Tags of the events in the completion queue.
enum Event : std::intptr_t { kStarted = 1, kRead, kWritten, kFinished };

void* tag(Event event) { return reinterpret_cast<void*>(event); }

}  // namespace

Stream::Stream(const Connection& connection, const Deadline& deadline, Job& job)
    : job_(job), in_flight_(connection.options().in_flight) {
  connection.prepare(context_, deadline);
  grpc::TemplatedGenericStub<wire::SimulateRequest, wire::SimulateResponse> stub(connection.channel());
  call_ = stub.PrepareCall(&context_, kSimulateStream, &queue_);
}

std::optional<Failure> Stream::run() {
  call_->StartCall(tag(kStarted));
  void* event = nullptr;
  for (bool ok = false; queue_.Next(&event, &ok);) {
    switch (static_cast<Event>(reinterpret_cast<std::intptr_t>(event))) {
      case kStarted:
        started(ok);
        break;
      case kRead:
        read(ok);
        break;
      case kWritten:
        writing_ = false;
        written_ = written_ || !ok;
        write();
        break;
      case kFinished:
        queue_.Shutdown();
        break;
    }
  }
  if (thrown_) std::rethrow_exception(thrown_);
  return outcome();
}

void Stream::started(bool ok) {
  if (!ok) return end(false);
  call_->Read(&reply_, tag(kRead));
  write();
}

void Stream::read(bool ok) {
  if (ending_) return;
  if (!ok) return end(false);
  try {
    another_version_ = !job_.take(reply_);
  } catch (...) {
    thrown_ = std::current_exception();
  }
  if (thrown_ || another_version_) return end(true);
  if (job_.done()) return end(false);
  call_->Read(&reply_, tag(kRead));
  write();
}

void Stream::write() {
  if (ending_ || writing_ || written_ || job_.in_flight() >= in_flight_) return;
  wire::SimulateRequest request;
  try {
    request = job_.next();
  } catch (...) {  // no memory; operations in progress must end before this object
    thrown_ = std::current_exception();
    return end(true);
  }
  writing_ = true;
  written_ = !job_.has_next();
  if (written_) {
    call_->WriteLast(request, grpc::WriteOptions(), tag(kWritten));
  } else {
    call_->Write(request, tag(kWritten));
  }
}

void Stream::end(bool cancel) {
  ending_ = true;
  if (cancel) context_.TryCancel();
  call_->Finish(&status_, tag(kFinished));
}

std::optional<Failure> Stream::outcome() const {
  if (job_.done() || another_version_) return std::nullopt;
  if (status_.ok()) return Failure{StatusCode::unavailable, "", "the server ended the stream before the last reply"};
  return failure_of(status_, context_);
}

}  // namespace zdc_fastsim
