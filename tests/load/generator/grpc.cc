// Closed loop over gRPC: one channel and one unary call in flight per client, all on one thread. Messages are bytes
// that are not decoded, so that one program can call any method of any service.
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <memory>
#include <vector>

#include "channel.h"

namespace {

class Client {
 public:
  Client(const Options& options, std::size_t turn, const std::vector<grpc::ByteBuffer>& requests,
         grpc::CompletionQueue* queue)
      : options_(options), requests_(requests), turn_(turn), queue_(queue), stub_(channel(options)) {}

  void begin() {
    began_ = Clock::now();
    context_ = std::make_unique<grpc::ClientContext>();
    context_->set_wait_for_ready(true);
    reply_.Clear();
    call_ = stub_.PrepareUnaryCall(context_.get(), options_.method, requests_[turn_++ % requests_.size()], queue_);
    call_->StartCall();
    call_->Finish(&reply_, &status_, this);
  }

  void ended(Log& log) const {
    if (status_.ok()) {
      log.answered(began_, reply_.Length());
    } else {
      log.error("gRPC " + std::to_string(status_.error_code()) + ": " + status_.error_message());
    }
  }

  void cancel() { context_->TryCancel(); }

 private:
  const Options& options_;
  const std::vector<grpc::ByteBuffer>& requests_;
  std::size_t turn_;
  grpc::CompletionQueue* queue_;
  grpc::GenericStub stub_;
  std::unique_ptr<grpc::ClientContext> context_;
  std::unique_ptr<grpc::ClientAsyncResponseReader<grpc::ByteBuffer>> call_;
  grpc::ByteBuffer reply_;
  grpc::Status status_;
  Clock::time_point began_;
};

}  // namespace

Log over_grpc(const Options& options) {
  grpc::CompletionQueue queue;
  const auto requests = messages(options);
  std::vector<std::unique_ptr<Client>> clients;
  for (std::size_t i = 0; i < options.clients; ++i) {
    clients.push_back(std::make_unique<Client>(options, i, requests, &queue));  // not all ask the same at the same time
  }
  Log log(options);
  for (auto& client : clients) client->begin();
  std::size_t under_way = clients.size();
  bool cancelled = false;
  while (under_way > 0) {
    if (!cancelled && log.given_up()) {
      cancelled = true;
      for (auto& client : clients) client->cancel();
    }
    void* tag = nullptr;
    bool ok = false;
    const auto soon = std::chrono::system_clock::now() + std::chrono::milliseconds(100);
    if (queue.AsyncNext(&tag, &ok, soon) != grpc::CompletionQueue::GOT_EVENT) continue;
    auto* client = static_cast<Client*>(tag);
    client->ended(log);
    if (log.over()) {
      --under_way;
    } else {
      client->begin();
    }
  }
  queue.Shutdown();
  return log;
}
