// Texts in the forms of Go's fmt and time packages: they are part of what the classic builder
// writes into histories, and so of its cache's keys.
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"

namespace lab::engine::build {

// %q: "\"a\\n\"".
[[nodiscard]] std::string go_quoted(std::string_view text);
// %q of a list: ["a" "b"].
[[nodiscard]] std::string go_quoted(const std::vector<std::string>& texts);
// %v of a list: [a b].
[[nodiscard]] std::string go_list(const std::vector<std::string>& texts);
// %q of an integer: the character of that number, '\x03'.
[[nodiscard]] std::string go_quoted_character(std::int64_t number);

// "1h30m", "1.5s", "300ms". Code::invalid_argument with Go's texts.
[[nodiscard]] Result<std::chrono::nanoseconds> parse_go_duration(std::string_view text);
// "1h30m0s", "1.5s", "0s".
[[nodiscard]] std::string go_duration(std::chrono::nanoseconds duration);

}  // namespace lab::engine::build
