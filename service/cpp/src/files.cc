#include "files.h"

#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <regex>
#include <sstream>

namespace zdc_fastsim {
namespace {

std::string read(const char* option, const std::string& path) {
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  if (!file.is_open() || file.bad() || errno == EISDIR) {
    throw ConfigError(StatusCode::invalid_argument, "config",
                      std::string(option) + " = '" + path + "' cannot be read: " + std::strerror(errno));
  }
  return text;
}

/// Also keeps characters from gRPC that no header may have, of which it would abort the process.
void check_token(const std::string& token, const std::string& source) {
  static const std::regex form("[A-Za-z0-9._~+/-]+=*");  // RFC 6750
  if (!std::regex_match(token, form)) {
    throw ConfigError(StatusCode::invalid_argument, "config",
                      source + " has no bearer token: one has only letters, digits and -._~+/");
  }
}

}  // namespace

std::string read_pem(const char* option, const std::string& path) {
  std::string text = read(option, path);
  if (text.find("-----BEGIN ") == std::string::npos) {
    throw ConfigError(StatusCode::invalid_argument, "config",
                      std::string(option) + " = '" + path + "' has no PEM block (-----BEGIN ...)");
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
