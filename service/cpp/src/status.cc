#include "status.h"

#include <charconv>
#include <optional>

namespace zdc_fastsim {
namespace {

// How OpenSSL and gRPC put it that a certificate is not signed by whom it should be, or names another server.
constexpr const char* kUntrusted[] = {"CERTIFICATE_VERIFY_FAILED", "certificate verify failed",
                                      "Hostname Verification Check failed", "not in peer certificate"};

/// `particle[i]` of a message counts from the first particle of the request; callers count from the call's.
std::string renumber(const std::string& message, std::size_t first_particle, std::optional<std::size_t>& particle) {
  static const std::string name = "particle[";
  std::string text;
  std::size_t done = 0;
  for (std::size_t found = 0; (found = message.find(name, found)) != std::string::npos;) {
    const char* begin = message.data() + (found += name.size());
    std::size_t number = 0;
    const auto [end, error] = std::from_chars(begin, message.data() + message.size(), number);
    if (error != std::errc() || *end != ']') continue;
    number += first_particle;
    if (!particle) particle = number;
    text.append(message, done, found - done).append(std::to_string(number));
    done = found + (end - begin);
  }
  return text.append(message, done);
}

}  // namespace

bool is_untrusted(const Failure& failure) {
  for (const char* words : kUntrusted) {
    if (failure.message.find(words) != std::string::npos) return true;
  }
  return false;
}

void throw_error(const std::string& address, const Failure& failure, std::size_t first_particle) {
  const auto& [code, kind, original] = failure;
  if (kind.empty()) {  // not of our server: of gRPC itself, or of something in between
    const std::string message = address + ": " + original;
    if (is_untrusted(failure)) {
      throw ConfigError(code, "config",
                        message + "; is the server's certificate signed by one of ca_file, and for it?");
    }
    if (code == StatusCode::unavailable)
      throw NotReadyError(code, "not_ready", message + "; is a server listening there?");
    throw Error(code, kind, message);
  }
  std::optional<std::size_t> particle;
  const std::string message = renumber(original, first_particle, particle);
  if (kind == "out_of_range") throw OutOfRangeError(code, kind, message, particle);
  if (kind == "too_large") throw TooLargeError(code, kind, message, particle);
  if (kind == "invalid_input" || kind == "not_acceptable") throw InvalidInputError(code, kind, message, particle);
  if (kind == "model_not_found") throw ModelNotFoundError(code, kind, message);
  if (kind == "unauthenticated") throw UnauthenticatedError(code, kind, message);
  if (kind == "overloaded") throw OverloadedError(code, kind, message);
  if (kind == "deadline") throw DeadlineError(code, kind, message);
  if (kind == "not_ready") throw NotReadyError(code, kind, message);
  throw Error(code, kind, message);
}

void throw_invalid(const std::string& message) {
  throw InvalidInputError(StatusCode::invalid_argument, "invalid_input", message);
}

void throw_malformed(const std::string& what) {
  throw Error(StatusCode::internal, "internal", "the server's reply breaks the contract: " + what);
}

}  // namespace zdc_fastsim
