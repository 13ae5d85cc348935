// Certificates, keys and tokens from files.
#pragma once

#include <string>

#include "zdc_fastsim/client.h"

namespace zdc_fastsim {

/// The text of a PEM file of certificates; throws ConfigError, which names the option, where it cannot be read or has
/// none.
std::string read_certificates(const char* option, const std::string& path);

/// The same of a private key, which has no passphrase.
std::string read_key(const char* option, const std::string& path);

/// The token that a call carries now, or "". A file holds one a line, `#` starts a comment; its first one is taken.
///
/// Throws ConfigError where the file cannot be read or what is given is no token; a token itself is never repeated.
std::string token_of(const Options& options);

}  // namespace zdc_fastsim
