// What a container changed of its image's files: `docker diff`.
#pragma once

#include <string>
#include <vector>

#include "base/error.hpp"
#include "engine/container/containers.hpp"

namespace lab::engine::container {

struct Change {
  enum class Kind : std::uint8_t { modified = 0, added = 1, deleted = 2 };
  std::string path;  // "/etc/passwd"
  Kind kind = Kind::modified;
};

// By path. A folder counts as modified when something in it changed. Blocks.
[[nodiscard]] Result<std::vector<Change>> changes_of(const Containers& containers,
                                                     const Container& container);

}  // namespace lab::engine::container
