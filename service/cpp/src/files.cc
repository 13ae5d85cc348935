#include "files.h"

#include <cerrno>
#include <cstdio>
#include <memory>
#include <sstream>
#include <system_error>

#include "status.h"

namespace zdc_fastsim {
namespace {

std::string read(const char* option, const std::string& path) {
  std::string text;
  char block[4096];
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rb"), &std::fclose);
  while (file && !std::feof(file.get()) && !std::ferror(file.get())) {
    text.append(block, std::fread(block, 1, sizeof block, file.get()));
  }
  if (!file || std::ferror(file.get())) {
    throw_config(std::string(option) + " = '" + path + "' cannot be read: " + std::generic_category().message(errno));
  }
  return text;
}

/// The text of a PEM file; throws ConfigError unless it has a block of this kind (certificate or key).
std::string read_pem(const char* option, const std::string& path, const char* kind, const char* name) {
  std::string text = read(option, path);
  const std::size_t begin = text.find("-----BEGIN ");
  if (begin == std::string::npos || text.find(kind, begin) == std::string::npos) {
    const std::string other = begin == std::string::npos ? "" : ", but another kind";
    throw_config(std::string(option) + " = '" + path + "' has no PEM block of a " + name + " (-----BEGIN ... " + kind +
                 ")" + other);
  }
  return text;
}

/// Throws ConfigError for a malformed token. gRPC would abort the process for characters that headers cannot have.
void check_token(const std::string& token, const std::string& source) {
  // RFC 6750; "=" only at the end.
  const std::size_t length =
      token.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/");
  if (token.empty() || length == 0 || token.find_first_not_of('=', length) != std::string::npos) {
    throw_config(source + " has no valid bearer token; a token has only letters, digits and -._~+/");
  }
}

}  // namespace

std::string read_certificates(const char* option, const std::string& path) {
  return read_pem(option, path, "CERTIFICATE-----", "certificate");
}

std::string read_key(const char* option, const std::string& path) {
  std::string text = read_pem(option, path, "PRIVATE KEY-----", "private key");
  if (text.find("ENCRYPTED") != std::string::npos) {
    throw_config(std::string(option) + " = '" + path + "' has a passphrase; give a key without one");
  }
  return text;
}

std::string token_of(const Options& options) {
  if (options.token_file.empty()) {
    if (!options.token.empty()) check_token(options.token, "token");
    return options.token;
  }
  std::istringstream lines(read("token_file", options.token_file));
  std::string word;
  for (std::string line; word.empty() && std::getline(lines, line);) {
    std::istringstream(line) >> word;
    if (word[0] == '#') word.clear();
  }
  check_token(word, "token_file = '" + options.token_file + "'");
  return word;
}

}  // namespace zdc_fastsim
