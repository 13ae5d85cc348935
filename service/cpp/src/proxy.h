// The proxy that gRPC uses for a server, for messages.
#pragma once

#include <string>

namespace zdc_fastsim {

/// Whether a host is this machine by its loopback, which no proxy could reach; without asking anybody.
bool is_this_machine(const std::string& host);

/// What to ask a caller whose server does not answer: about the proxy of the environment if gRPC uses one for `host`,
/// and else about the server.
std::string question_about(const std::string& host);

}  // namespace zdc_fastsim
