#include "tls_question.h"

#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <memory>

namespace zdc_fastsim {
namespace {

/// A ClientHello of TLS 1.2 (RFC 5246, 7.4.1.2) with two cipher suites of each kind of certificate, X25519 and P-256.
/// Every TLS server answers it with a TLS record, either a handshake or an alert.
constexpr unsigned char kHello[] = {
    0x16, 0x03, 0x01, 0x00, 0x5c,        // record: handshake, 92 bytes
    0x01, 0x00, 0x00, 0x58, 0x03, 0x03,  // ClientHello, 88 bytes, TLS 1.2
    'z',  'd',  'c',  '_',  'f',  'a',  's',  't',  's',  'i',  'm',  ' ',  'a',  's',  'k', 's',  // random
    ' ',  'f',  'o',  'r',  ' ',  'T',  'L',  'S',  '.',  '.',  '.',  '.',  '.',  '.',  '.', '.',
    0x00,                                                        // no session
    0x00, 0x08, 0xc0, 0x2b, 0xc0, 0x2f, 0xc0, 0x2c, 0xc0, 0x30,  // ECDHE with ECDSA and RSA, AES-GCM
    0x01, 0x00,                                                  // no compression
    0x00, 0x27,                                                  // extensions, 39 bytes
    0x00, 0x0a, 0x00, 0x06, 0x00, 0x04, 0x00, 0x1d, 0x00, 0x17,  // groups
    0x00, 0x0b, 0x00, 0x02, 0x01, 0x00,                          // uncompressed points
    0x00, 0x0d, 0x00, 0x0a, 0x00, 0x08, 0x04, 0x03, 0x08, 0x04, 0x04, 0x01, 0x05, 0x01,  // signatures
    0xff, 0x01, 0x00, 0x01, 0x00,                                                        // no renegotiation
    0x00, 0x17, 0x00, 0x00,                                                              // extended master secret
};
constexpr unsigned char kHandshake = 0x16, kAlert = 0x15;

class Socket {
 public:
  explicit Socket(const addrinfo& to) : number_(socket(to.ai_family, to.ai_socktype | SOCK_CLOEXEC, to.ai_protocol)) {}
  ~Socket() {
    if (number_ >= 0) close(number_);
  }
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;
  int number() const { return number_; }

 private:
  int number_;
};

bool wait(const Socket& socket, short event, std::chrono::steady_clock::time_point end) {
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
  pollfd one{socket.number(), event, 0};
  return left.count() > 0 && poll(&one, 1, static_cast<int>(left.count())) == 1;
}

bool answers_in_tls(const addrinfo& to, std::chrono::steady_clock::time_point end) {
  const Socket socket(to);
  if (socket.number() < 0 || fcntl(socket.number(), F_SETFL, O_NONBLOCK) != 0) return false;
  connect(socket.number(), to.ai_addr, to.ai_addrlen);  // in progress
  unsigned char answer = 0;
  return wait(socket, POLLOUT, end) &&
         send(socket.number(), kHello, sizeof kHello, MSG_NOSIGNAL) == ssize_t{sizeof kHello} &&
         wait(socket, POLLIN, end) && recv(socket.number(), &answer, 1, 0) == 1 &&
         (answer == kHandshake || answer == kAlert);
}

}  // namespace

bool speaks_tls(const std::string& host, const std::string& port, std::chrono::steady_clock::duration longest) {
  const auto end = std::chrono::steady_clock::now() + longest;
  const bool bracketed = host.size() > 2 && host.front() == '[';
  const std::string name = bracketed ? host.substr(1, host.size() - 2) : host;
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (getaddrinfo(name.c_str(), port.c_str(), &hints, &found) != 0) return false;
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> list(found, &freeaddrinfo);
  for (const addrinfo* one = found; one != nullptr; one = one->ai_next) {
    if (answers_in_tls(*one, end)) return true;
  }
  return false;
}

}  // namespace zdc_fastsim
