// Whether a server speaks TLS.
#pragma once

#include <chrono>
#include <string>

namespace zdc_fastsim {

/// Begins TLS with a server and looks at the first byte that it answers. A server that takes only TLS closes a plain
/// connection without a word, as one does that stops: only such a question tells them apart.
///
/// @param longest For the whole question; false where there is no answer by then.
bool speaks_tls(const std::string& host, const std::string& port, std::chrono::steady_clock::duration longest);

}  // namespace zdc_fastsim
