// Versions of the Docker Engine API: a client names the one that it speaks in the path, and what it
// gets follows.
#pragma once

#include <compare>
#include <optional>
#include <string_view>

#include "base/http_server.hpp"

namespace lab::engine::api {

struct Version {
  int major_number = 0;
  int minor_number = 0;
  auto operator<=>(const Version&) const = default;
};

// "1.41"
[[nodiscard]] std::optional<Version> parse_version(std::string_view text);

// Whether the client speaks a version before this one; a path without a version means the newest.
[[nodiscard]] bool older_than(const http::Exchange& exchange, Version version);

}  // namespace lab::engine::api
