// Whether a server speaks TLS.
#pragma once

#include <chrono>
#include <string>

namespace zdc_fastsim {

/// Starts a TLS handshake with a server, and checks the first byte of the reply. A server that requires TLS closes a
/// plain connection without an error, like a server that shuts down; only a handshake distinguishes the two.
///
/// @param longest Time limit; the result is false if there is no reply by then.
bool speaks_tls(const std::string& host, const std::string& port, std::chrono::steady_clock::duration longest);

}  // namespace zdc_fastsim
