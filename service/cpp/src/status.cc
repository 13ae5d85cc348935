#include "status.h"

#include <charconv>
#include <optional>

namespace zdc_fastsim {
namespace {

constexpr const char* kCertificate =
    "check that ca_file has the authority of the server's certificate, and that the certificate is for this host";
constexpr const char* kPort = "this port does not speak gRPC; HTTP and gRPC have different ports";
constexpr const char* kFiles =
    "gRPC cannot use the files; check that ca_file has certificates, and that client_key is the key of "
    "client_certificate and has no passphrase";
constexpr const char* kNoTls = "this port does not speak TLS; use another port, or an address with grpc://";

struct Symptom {
  const char* words;  // texts of OpenSSL, BoringSSL and gRPC
  const char* remedy;
};

constexpr Symptom kHopeless[] = {
    {"CERTIFICATE_VERIFY_FAILED", kCertificate},
    {"certificate verify failed", kCertificate},
    {"Hostname Verification Check failed", kCertificate},
    {"not in peer certificate", kCertificate},
    {"empty address list", kFiles},
    {"http1.x server", kPort},
    {"missing selected ALPN property", kPort},
    {"WRONG_VERSION_NUMBER", kNoTls},
    {"wrong version number", kNoTls},
};

bool has(const std::string& message, const char* words) { return message.find(words) != std::string::npos; }

/// Throws the error for a status that gRPC or a proxy has set, not our server.
[[noreturn]] void throw_foreign(const std::string& address, const std::string& question, const Failure& failure) {
  const std::string message = address + ": " + failure.message;
  if (const char* remedy = remedy_of(failure)) throw ConfigError(failure.code, "config", message + "; " + remedy);
  switch (failure.code) {
    case StatusCode::unavailable:
      throw NotReadyError(failure.code, "not_ready", message + "; " + question);
    case StatusCode::unauthenticated:
      throw UnauthenticatedError(failure.code, "unauthenticated", message);
    case StatusCode::resource_exhausted:
      if (has(failure.message, "message larger than max")) {
        throw TooLargeError(failure.code, "too_large", message + "; set a smaller rows_per_request");
      }
      [[fallthrough]];
    default:
      throw Error(failure.code, "", message);
  }
}

/// Renumbers `particle[i]` in a message from the particles of the request to those of the call.
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
    done = found + static_cast<std::size_t>(end - begin);
  }
  return text.append(message, done);
}

}  // namespace

const char* remedy_of(const Failure& failure) {
  for (const auto& [words, remedy] : kHopeless) {
    if (failure.kind.empty() && has(failure.message, words)) return remedy;
  }
  return nullptr;
}

void throw_error(const std::string& address, const std::string& question, const Failure& failure,
                 std::size_t first_particle) {
  if (failure.kind.empty()) throw_foreign(address, question, failure);
  const auto& [code, kind, original] = failure;
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

std::string counted(std::size_t number, const char* noun) {
  return std::to_string(number) + ' ' + noun + (number == 1 ? "" : "s");
}

void throw_invalid(const std::string& message) {
  throw InvalidInputError(StatusCode::invalid_argument, "invalid_input", message);
}

void throw_config(const std::string& message) { throw ConfigError(StatusCode::invalid_argument, "config", message); }

void throw_elsewhere(const std::string& message) {
  throw NotReadyError(StatusCode::failed_precondition, "not_ready", message);
}

void throw_malformed(const std::string& what) {
  throw Error(StatusCode::internal, "internal", "the server's reply is invalid: " + what);
}

}  // namespace zdc_fastsim
