// Certificates, keys and tokens from files.
#pragma once

#include <string>

#include "zdc_fastsim/client.h"

namespace zdc_fastsim {

/// The text of a PEM file of certificates; throws ConfigError, which names the option, if it cannot be read or has
/// none.
std::string read_certificates(const char* option, const std::string& path);

/// The same for a private key without a passphrase.
std::string read_key(const char* option, const std::string& path);

/// The current token, or "" if there is none. A file has one token per line, `#` starts a comment; the first one is
/// used.
///
/// Throws ConfigError if the file cannot be read or the token is malformed; messages never contain the token.
std::string token_of(const Options& options);

}  // namespace zdc_fastsim
