// Closed loop over HTTP/1.1: one connection and one request in flight per client, all on one thread with epoll.
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <vector>

#include "load.h"

namespace {

constexpr std::size_t kNotYet = static_cast<std::size_t>(-1);

// Bytes that arrive over one connection, and how much of them is the reply to the request under way.
class Reply {
 public:
  char* room(std::size_t bytes) {
    if (data_.size() < used_ + bytes) data_.resize(used_ + bytes);
    return data_.data() + used_;
  }

  // Takes `bytes` more, written into room(); true when the reply is whole.
  bool add(std::size_t bytes) {
    used_ += bytes;
    if (body_ == kNotYet && !head()) return false;
    if (!chunked_) return used_ >= body_ + length_;
    while (!ended_ && chunk()) {
    }
    return ended_;
  }

  int status() const { return status_; }
  bool keeps() const { return keeps_; }
  std::size_t length() const { return length_; }

  void clear() { *this = Reply(std::move(data_)); }

  Reply() = default;

 private:
  explicit Reply(std::vector<char>&& data) : data_(std::move(data)) {}

  // Reads status line and headers once all of them are there.
  bool head() {
    const void* end = memmem(data_.data(), used_, "\r\n\r\n", 4);
    if (end == nullptr) return false;
    const std::string text(data_.data(), static_cast<std::size_t>(static_cast<const char*>(end) - data_.data()) + 2);
    body_ = next_ = text.size() + 2;
    status_ = text.size() > 12 ? std::atoi(text.c_str() + 9) : 0;
    for (std::size_t at = text.find("\r\n") + 2; at < text.size(); at = text.find("\r\n", at) + 2) {
      const char* line = text.c_str() + at;
      if (strncasecmp(line, "content-length:", 15) == 0) length_ = std::strtoull(line + 15, nullptr, 10);
      if (strncasecmp(line, "transfer-encoding: chunked", 26) == 0) chunked_ = true;
      if (strncasecmp(line, "connection: close", 17) == 0) keeps_ = false;
    }
    return true;
  }

  // Steps over one chunk if all of it is there.
  bool chunk() {
    const void* end = used_ > next_ ? memmem(data_.data() + next_, used_ - next_, "\r\n", 2) : nullptr;
    if (end == nullptr) return false;
    const std::size_t size = std::strtoull(data_.data() + next_, nullptr, 16);
    const std::size_t after = static_cast<std::size_t>(static_cast<const char*>(end) - data_.data()) + 2 + size + 2;
    if (after > used_) return false;
    next_ = after;
    length_ += size;
    ended_ = size == 0;
    return true;
  }

  std::vector<char> data_;
  std::size_t used_ = 0, body_ = kNotYet, length_ = 0, next_ = 0;
  int status_ = 0;
  bool chunked_ = false, ended_ = false, keeps_ = true;
};

struct Client {
  int socket = -1;
  std::size_t turn = 0, sent = 0;
  Clock::time_point began;
  Reply reply;
};

class Loop {
 public:
  explicit Loop(const Options& options)
      : options_(options), poll_(epoll_create1(0)), clients_(options.clients), log_(options) {
    const std::size_t colon = options.address.rfind(':');
    address_.sin_family = AF_INET;
    address_.sin_port = htons(static_cast<std::uint16_t>(std::stoi(options.address.substr(colon + 1))));
    if (inet_pton(AF_INET, options.address.substr(0, colon).c_str(), &address_.sin_addr) != 1)
      throw std::runtime_error("not an IPv4 address and port: " + options.address);
  }

  Log run() {
    for (std::size_t i = 0; i < clients_.size(); ++i) {
      clients_[i].turn = i;  // not all of them ask the same at the same time
      connect(clients_[i]);
      begin(clients_[i]);
    }
    epoll_event events[256];
    under_way_ = clients_.size();
    while (under_way_ > 0 && !log_.given_up()) {
      const int ready = epoll_wait(poll_, events, 256, 100);
      for (int i = 0; i < ready; ++i) serve(*static_cast<Client*>(events[i].data.ptr), events[i].events);
    }
    for (Client& client : clients_) close(client.socket);
    close(poll_);
    return std::move(log_);
  }

 private:
  void connect(Client& client) {
    client.socket = socket(AF_INET, SOCK_STREAM, 0);
    if (::connect(client.socket, reinterpret_cast<sockaddr*>(&address_), sizeof address_) != 0)
      throw std::runtime_error("cannot connect to " + options_.address + ": " + std::strerror(errno));
    const int on = 1;
    setsockopt(client.socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.ptr = &client;
    epoll_ctl(poll_, EPOLL_CTL_ADD, client.socket, &event);
  }

  void next(Client& client, bool keep) {
    client.reply.clear();
    if (log_.over()) {
      epoll_ctl(poll_, EPOLL_CTL_DEL, client.socket, nullptr);
      --under_way_;
      return;
    }
    if (!keep) {
      close(client.socket);
      connect(client);
    }
    begin(client);
  }

  const std::string& request_of(const Client& client) const {
    return options_.requests[client.turn % options_.requests.size()];
  }

  void begin(Client& client) {
    ++client.turn;
    client.sent = 0;
    client.began = Clock::now();
    send(client);
  }

  void send(Client& client) {
    const std::string& request = request_of(client);
    while (client.sent < request.size()) {
      const ssize_t bytes = ::send(client.socket, request.data() + client.sent, request.size() - client.sent,
                                   MSG_DONTWAIT | MSG_NOSIGNAL);
      if (bytes < 0) break;
      client.sent += static_cast<std::size_t>(bytes);
    }
    // If a request does not fit into the socket's buffer, the rest is sent when there is room.
    if (client.sent < request.size()) watch(client, true);
  }

  void watch(Client& client, bool for_room) {
    epoll_event event{};
    event.events = EPOLLIN | (for_room ? EPOLLOUT : 0u);
    event.data.ptr = &client;
    epoll_ctl(poll_, EPOLL_CTL_MOD, client.socket, &event);
  }

  void serve(Client& client, std::uint32_t events) {
    if (events & EPOLLOUT) {
      send(client);
      if (client.sent == request_of(client).size()) watch(client, false);
    }
    if (!(events & (EPOLLIN | EPOLLHUP | EPOLLERR))) return;
    constexpr std::size_t kRead = 64 * 1024;
    const ssize_t bytes = recv(client.socket, client.reply.room(kRead), kRead, MSG_DONTWAIT);
    if (bytes < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (bytes <= 0) {
      log_.error(bytes == 0 ? "the server closed the connection" : std::strerror(errno));
      next(client, false);
      return;
    }
    if (!client.reply.add(static_cast<std::size_t>(bytes))) return;
    if (client.reply.status() == 200) {
      log_.answered(client.began, client.reply.length());
    } else {
      log_.error("HTTP " + std::to_string(client.reply.status()));
    }
    next(client, client.reply.keeps());
  }

  const Options& options_;
  sockaddr_in address_{};
  int poll_;
  std::vector<Client> clients_;
  std::size_t under_way_ = 0;
  Log log_;
};

}  // namespace

Log over_http(const Options& options) { return Loop(options).run(); }
