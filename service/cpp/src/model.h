// Properties of a model, by ModelConfig of the Open Inference Protocol.
#pragma once

#include <optional>
#include <string>

#include "channel.h"

namespace zdc_fastsim {

/// Requests the properties once, without a retry.
///
/// @param info Is set to the result.
/// @returns The failure, if any.
std::optional<Failure> ask_for_model(const Connection& connection, const Deadline& deadline, const std::string& name,
                                     std::uint32_t version, ModelInfo& info);

}  // namespace zdc_fastsim
