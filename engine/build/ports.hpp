// The ports of EXPOSE, in the forms that Docker takes.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"

namespace lab::engine::build {

// "80", "80/udp", "8000-8002", and the forms of `docker run -p`, of which the container's side
// counts: {"80/tcp"}, {"80/udp"}, {"8000/tcp", ...}. Code::invalid_argument with Docker's texts.
[[nodiscard]] Result<std::vector<std::string>> exposed_ports(std::string_view specification);

}  // namespace lab::engine::build
