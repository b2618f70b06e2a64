// The platforms that clients ask for: "linux/amd64", "arm64", "windows".
#pragma once

#include <string_view>

#include "base/error.hpp"

namespace lab::engine::image {

// A word alone has to be a system or an architecture: otherwise Code::invalid_argument with
// dockerd's text.
[[nodiscard]] Result<void> check_platform_name(std::string_view platform);

// Whether "SYSTEM", "ARCHITECTURE", "SYSTEM/ARCHITECTURE" or "SYSTEM/ARCHITECTURE/VARIANT" is what
// the engine runs on.
[[nodiscard]] bool is_own_platform(std::string_view platform);

}  // namespace lab::engine::image
