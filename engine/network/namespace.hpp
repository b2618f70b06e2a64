// Network namespaces that outlive the process that made them: bind-mounted below the exec root, as
// Docker's sandbox keys.
#pragma once

#include <filesystem>
#include <functional>
#include <string>

#include "base/error.hpp"
#include "base/file.hpp"

namespace lab::engine::network {

// Makes a namespace, mounts it at `path` (created) and runs `inside` in it. On failure nothing is
// left. Blocks; safe on any thread, which is back in its own namespace on return.
[[nodiscard]] Result<void> create_namespace(const std::filesystem::path& path,
                                            const std::function<Result<void>()>& inside);
// Runs `inside` on the calling thread in the namespace behind `path`.
[[nodiscard]] Result<void> inside_namespace(const std::filesystem::path& path,
                                            const std::function<Result<void>()>& inside);
// Unmounts and removes; what is not there is no error.
void remove_namespace(const std::filesystem::path& path);

}  // namespace lab::engine::network
