// What a server says of a model: the Open Inference Protocol's ModelConfig.
#pragma once

#include <optional>
#include <string>

#include "channel.h"

namespace zdc_fastsim {

/// Asks once.
///
/// @param info Gets the answer.
/// @returns Why there is none, if there is none.
std::optional<Failure> ask_for_model(const Connection& connection, const Deadline& deadline, const std::string& name,
                                     std::uint32_t version, ModelInfo& info);

}  // namespace zdc_fastsim
