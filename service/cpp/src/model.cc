#include "model.h"

#include <algorithm>
#include <charconv>
#include <locale>
#include <sstream>
#include <string_view>
#include <vector>

#include "grpc_call.h"
#include "inference.pb.h"
#include "status.h"

namespace zdc_fastsim {
namespace {

constexpr const char* kModelConfig = "/inference.GRPCInferenceService/ModelConfig";

template <class Number>
Number take_integer(std::string_view& text) {
  Number number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc()) throw_malformed("'" + std::string(text) + "' does not begin with a number");
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return number;
}

/// Like std::from_chars, which many standard libraries lack for floating point; independent of the program's locale.
double take_decimal(std::string_view& text) {
  std::istringstream stream{std::string(text)};
  stream.imbue(std::locale::classic());
  double number = 0;
  if (!(stream >> number)) throw_malformed("'" + std::string(text) + "' does not begin with a number");
  text.remove_prefix(text.size() - static_cast<std::size_t>(stream.rdbuf()->in_avail()));
  return number;
}

void take_word(std::string_view& text, std::string_view word) {
  if (text.substr(0, word.size()) != word)
    throw_malformed("'" + std::string(text) + "' does not begin with " + std::string(word));
  text.remove_prefix(word.size());
}

std::vector<std::string> split(const std::string& list) {
  std::vector<std::string> parts;
  for (std::size_t start = 0; start < list.size();) {
    const std::size_t end = std::min(list.find(", ", start), list.size());
    parts.push_back(list.substr(start, end - start));
    start = end + 2;
  }
  return parts;
}

/// Parses e.g. `2112 n 50-2600 GeV`.
Species species_of(std::string_view text) {
  Species species;
  species.pdg = take_integer<std::int32_t>(text);
  take_word(text, " ");
  const std::size_t end = text.substr(0, text.rfind(" GeV")).rfind(' ');
  if (end == std::string_view::npos) throw_malformed("'" + std::string(text) + "' is not a species");
  species.name = text.substr(0, end);
  text.remove_prefix(end + 1);
  species.least_energy = take_decimal(text);
  take_word(text, "-");
  species.most_energy = take_decimal(text);
  take_word(text, " GeV");
  return species;
}

ModelInfo info_of(const inference::ModelConfig& config) {
  const auto fact = [&config](const char* name) {
    const auto found = config.parameters().find(name);
    if (found == config.parameters().end()) throw_malformed(std::string("the parameter ") + name + " is missing");
    return found->second.string_value();
  };
  const auto number = [&fact](const char* name) {
    const std::string text = fact(name);
    std::string_view rest = text;
    return take_integer<std::uint64_t>(rest);
  };
  ModelInfo info;
  info.name = config.name();
  info.version = static_cast<std::uint32_t>(number("version"));
  info.description = fact("description");
  info.finish = fact("finish");
  info.channel_names = split(fact("channel_names"));
  info.max_request_rows = number("max_request_rows");
  for (const std::string& one : split(fact("species"))) info.species.push_back(species_of(one));
  for (const inference::ModelOutput& output : config.output()) {
    if (output.name() != "response" || output.dims_size() != 3) continue;
    info.image_rows = static_cast<std::uint32_t>(output.dims(1));
    info.image_columns = static_cast<std::uint32_t>(output.dims(2));
  }
  return info;
}

}  // namespace

std::optional<Failure> ask_for_model(const Connection& connection, const Deadline& deadline, const std::string& name,
                                     std::uint32_t version, ModelInfo& info) {
  grpc::ClientContext context;
  connection.prepare(context, deadline);
  inference::ModelConfigRequest request;
  request.set_name(name);
  if (version != 0) request.set_version(std::to_string(version));
  grpc::TemplatedGenericStub<inference::ModelConfigRequest, inference::ModelConfigResponse> stub(connection.channel());
  grpc::CompletionQueue queue;
  const auto call = stub.PrepareUnaryCall(&context, kModelConfig, request, &queue);
  inference::ModelConfigResponse reply;
  grpc::Status status;
  call->StartCall();
  call->Finish(&reply, &status, &queue);
  void* tag = nullptr;
  bool ok = false;
  queue.Next(&tag, &ok);
  if (!status.ok()) return failure_of(status, context);
  info = info_of(reply.config());
  return std::nullopt;
}

}  // namespace zdc_fastsim
