// The program that is a container's first process with `--init` (engine/init), as a part of ours: a
// node needs no other file.
#pragma once

#include <string_view>

namespace lab::engine::container {

// A static executable.
[[nodiscard]] std::string_view init_program();

}  // namespace lab::engine::container
