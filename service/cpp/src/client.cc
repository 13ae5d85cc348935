#include "zdc_fastsim/client.h"

#include <atomic>

#include "channel.h"
#include "deadline.h"
#include "job.h"
#include "model.h"
#include "process.h"
#include "retry_policy.h"
#include "rows.h"
#include "stream.h"

namespace zdc_fastsim {

struct Client::Impl {
  Impl(const std::string& address, const Options& options) : connection(address, options) {}

  /// Never destroys a copy in a forked process: its threads and locks do not exist there, so it cannot be ended.
  static void keep(Impl* copy) {
    static std::atomic<Impl*> last{nullptr};
    copy->kept = last.exchange(copy);
  }

  Result simulate(Span<const Particle> particles, const Request& request, Rows&& rows) const {
    process.check();
    const Options& options = connection.options();
    const Deadline deadline(request.deadline_ms != 0 ? request.deadline_ms : options.deadline_ms);
    Job job(particles, request, options.rows_per_request, rows);
    RetryPolicy retries(connection, deadline);
    while (!job.done()) {
      const std::size_t before = rows.rows();
      if (const auto failure = Stream(connection, deadline, job).run()) {
        retries.wait(*failure, {rows.rows() > before, job.first_particle(), job.progress()});
      }
      job.interrupted();
    }
    Result result = job.result();
    result.retries = retries.retries();
    return result;
  }

  Process process;  // before the connection: its constructor may throw
  Connection connection;
  Impl* kept = nullptr;  // keeps the memory reachable, so that leak checkers do not report it
};

void Client::End::operator()(Impl* impl) const noexcept {
  if (impl->process.is_copy()) {
    Impl::keep(impl);
  } else {
    delete impl;
  }
}

Client::Client(const std::string& address, const Options& options) : impl_(new Impl(address, options)) {}
Client::~Client() = default;
Client::Client(Client&&) noexcept = default;
Client& Client::operator=(Client&&) noexcept = default;

Result Client::simulate(Span<const Particle> particles, const Request& request, const CountBuffers& buffers) const {
  return impl_->simulate(particles, request, RowsIn(buffers));
}

Result Client::simulate(Span<const Particle> particles, const Request& request, const FloatBuffers& buffers) const {
  return impl_->simulate(particles, request, RowsIn(buffers));
}

ModelInfo Client::model(const std::string& name, std::uint32_t version) const {
  impl_->process.check();
  const Deadline deadline(impl_->connection.options().deadline_ms);
  RetryPolicy retries(impl_->connection, deadline);
  ModelInfo info;
  while (const auto failure = ask_for_model(impl_->connection, deadline, name, version, info)) {
    retries.wait(*failure, {});
  }
  return info;
}

}  // namespace zdc_fastsim
