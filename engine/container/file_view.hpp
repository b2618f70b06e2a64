// A container's files as `docker cp` sees them: its root file system with its volumes, bind mounts
// and name files in their places, whether it runs or not.
//
// The mounts are made in a mount namespace of one thread's own. Nobody else sees them, and the
// kernel takes them away when the thread ends, however it ends.
#pragma once

#include <functional>
#include <string>

#include "base/error.hpp"
#include "engine/container/containers.hpp"
#include "engine/layer/tree.hpp"

namespace lab::engine::container {

using UseFiles = std::function<Result<void>(layer::Tree& root)>;

// Runs `use` on a new thread and waits for it: blocks. The container's operation lock is held, so
// that its root file system is not mounted by somebody else meanwhile.
[[nodiscard]] Result<void> with_files(const Containers& containers, const Container& container,
                                      const UseFiles& use);

}  // namespace lab::engine::container
