// Files of the source tree that the programs carry inside: recipes and the guest's first program.
// CMakeLists.txt lists them.
#pragma once

#include <string_view>

namespace lab::vm {

// The content of the embedded file, named as in CMakeLists.txt ("recipes/debian-12/packages");
// nullptr data() when there is none of that name.
[[nodiscard]] std::string_view embedded_file(std::string_view name);

}  // namespace lab::vm
