#include "proxy.h"

#include <arpa/inet.h>
#include <strings.h>

#include <cstdint>
#include <cstdlib>
#include <sstream>
#include <string_view>

namespace zdc_fastsim {
namespace {

constexpr std::string_view kScheme = "http://";  // the only scheme that gRPC supports

std::string text_of(const char* variable) {
  const char* text = std::getenv(variable);
  return text == nullptr ? "" : text;
}

bool ends_with(const std::string& text, const std::string& end) {
  return text.size() >= end.size() && strcasecmp(text.data() + text.size() - end.size(), end.c_str()) == 0;
}

/// Whether an IPv4 address is in a network such as 10.0.0.0/8.
bool is_within(const std::string& host, const std::string& network) {
  const std::size_t slash = network.find('/');
  in_addr address{}, base{};
  if (slash == std::string::npos || inet_pton(AF_INET, host.c_str(), &address) != 1 ||
      inet_pton(AF_INET, network.substr(0, slash).c_str(), &base) != 1) {
    return false;
  }
  const unsigned long bits = std::strtoul(network.c_str() + slash + 1, nullptr, 10);
  const std::uint32_t mask = bits == 0 ? 0 : bits > 31 ? ~0U : ~0U << (32 - bits);
  return (ntohl(address.s_addr) & mask) == (ntohl(base.s_addr) & mask);
}

/// Whether the no-proxy variables exempt a host. As in gRPC, the first variable that is set counts; its entries are
/// suffixes of names, or networks.
bool is_exempt(const std::string& host) {
  std::string list = text_of("no_grpc_proxy");
  if (list.empty()) list = text_of("no_proxy");
  std::istringstream entries(list);
  for (std::string entry; std::getline(entries, entry, ',');) {
    const std::size_t begin = entry.find_first_not_of(" \t"), end = entry.find_last_not_of(" \t");
    if (begin == std::string::npos) continue;
    entry = entry.substr(begin, end - begin + 1);
    if (ends_with(host, entry) || is_within(host, entry)) return true;
  }
  return false;
}

/// The address without user and password.
std::string shown(const std::string& proxy) {
  const std::size_t at = proxy.rfind('@');
  return (at == std::string::npos ? proxy : std::string(kScheme) + "..." + proxy.substr(at)).substr(0, 100);
}

}  // namespace

bool is_this_machine(const std::string& host) {
  in6_addr address6{};
  in_addr address{};
  if (host.size() > 2 && host.front() == '[') {
    return inet_pton(AF_INET6, host.substr(1, host.size() - 2).c_str(), &address6) == 1 &&
           IN6_IS_ADDR_LOOPBACK(&address6);
  }
  if (inet_pton(AF_INET, host.c_str(), &address) == 1) return ntohl(address.s_addr) >> 24 == 127;
  return strcasecmp(host.c_str(), "localhost") == 0 || ends_with(host, ".localhost");
}

std::string question_about(const std::string& host) {
  const std::string plain = "is a server listening there?";
  if (is_this_machine(host) || is_exempt(host)) return plain;
  for (const char* variable : {"grpc_proxy", "https_proxy", "http_proxy"}) {
    const std::string proxy = text_of(variable);
    if (proxy.empty()) continue;
    if (proxy.compare(0, kScheme.size(), kScheme) != 0) return plain;
    return "requests go through the proxy " + shown(proxy) + " (" + variable +
           "): check that it is up and reaches the server, or set no_proxy=" + host + " to connect without it";
  }
  return plain;
}

}  // namespace zdc_fastsim
