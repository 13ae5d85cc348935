// Finds the proxy that gRPC uses for a server, for error messages.
#pragma once

#include <string>

namespace zdc_fastsim {

/// Whether a host is this machine's loopback, which a proxy could not reach; judged without a DNS query.
bool is_this_machine(const std::string& host);

/// The advice in the error message if the server does not answer: about the proxy, if gRPC uses one for `host`,
/// otherwise about the server.
std::string question_about(const std::string& host);

}  // namespace zdc_fastsim
