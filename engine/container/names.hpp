// Container names: "adjective_surname" for those who were given none.
#pragma once

#include <string>
#include <string_view>

#include "base/random.hpp"

namespace lab::engine::container {

// `attempt` > 0 adds a digit, as Docker does when the first choice is taken.
[[nodiscard]] std::string random_name(Random& random, int attempt);
// [a-zA-Z0-9][a-zA-Z0-9_.-]+
[[nodiscard]] bool is_valid_name(std::string_view name);

}  // namespace lab::engine::container
