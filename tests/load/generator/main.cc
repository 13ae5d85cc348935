// Load for servers that are compared: the same request again and again from a number of clients, each of which sends
// the next one when it has the answer. Prints one line of JSON.
#include <sys/resource.h>

#include <algorithm>
#include <fstream>
#include <iostream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "load.h"

namespace {

constexpr const char* kUsage =
    "usage: generator (http HOST:PORT | grpc HOST:PORT METHOD | grpc-stream HOST:PORT METHOD) REQUESTS CLIENTS WARM_UP "
    "SECONDS\n"
    "METHOD is /package.Service/Method; the file REQUESTS holds each request behind its length, 8 bytes little-endian";

double cpu_seconds() {
  rusage used{};
  getrusage(RUSAGE_SELF, &used);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
  };
  return seconds(used.ru_utime) + seconds(used.ru_stime);
}

std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
  }
  return out + '"';
}

std::vector<std::string> read_requests(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::vector<std::string> requests;
  std::uint64_t length = 0;
  while (file.read(reinterpret_cast<char*>(&length), sizeof length)) {
    std::string request(length, '\0');
    file.read(request.data(), static_cast<std::streamsize>(length));
    requests.push_back(std::move(request));
  }
  if (requests.empty()) throw std::invalid_argument("no requests in " + path);
  return requests;
}

Options read_options(const std::vector<std::string>& words) {
  Options options;
  const bool method = !words.empty() && (words[0] == "grpc" || words[0] == "grpc-stream");
  if (words.size() != (method ? 7u : 6u) || (!method && words[0] != "http")) throw std::invalid_argument(kUsage);
  auto word = words.begin();
  options.protocol = *word++;
  options.address = *word++;
  if (method) options.method = *word++;
  options.requests = read_requests(*word++);
  options.clients = std::stoul(*word++);
  options.warm_up = std::stod(*word++);
  options.seconds = std::stod(*word++);
  return options;
}

Log run(const Options& options) {
  if (options.protocol == "grpc") return over_grpc(options);
  if (options.protocol == "grpc-stream") return over_grpc_stream(options);
  return over_http(options);
}

}  // namespace

std::string Log::json() const {
  std::vector<float> sorted = microseconds_;
  std::sort(sorted.begin(), sorted.end());
  const auto quantile = [&](double q) {
    if (sorted.empty()) return 0.0f;
    const auto place = static_cast<std::size_t>(q * static_cast<double>(sorted.size()));
    return sorted[std::min(place, sorted.size() - 1)];
  };
  std::ostringstream out;
  out << "{\"requests\": " << sorted.size() << ", \"errors\": " << errors_
      << ", \"answers\": " << answers_ << ", \"elapsed\": " << std::chrono::duration<double>(last_ - began_).count()
      << ", \"p50_us\": " << quantile(0.5)
      << ", \"p99_us\": " << quantile(0.99) << ", \"reply_bytes\": " << reply_bytes_
      << ", \"cpu_seconds\": " << cpu_seconds() << ", \"reasons\": {";
  const char* comma = "";
  for (const auto& [what, count] : reasons_) {
    out << comma << quoted(what) << ": " << count;
    comma = ", ";
  }
  out << "}}";
  return out.str();
}

int main(int argc, char** argv) {
  try {
    const Options options = read_options({argv + 1, argv + argc});
    std::cout << run(options).json() << std::endl;
    return 0;
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
}
