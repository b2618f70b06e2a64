// Files copied from one folder into another with their modes, times, links and extended
// attributes. Symbolic links are copied, never followed, on either side. Blocks.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>

#include "base/error.hpp"

namespace lab::engine::layer {

struct Owner {
  uid_t uid = 0;
  gid_t gid = 0;
};

struct CopyOptions {
  std::optional<Owner> owner;  // of all that is copied; empty: each object's own
  // Both folders are layers of an overlay: what whiteouts and opaque folders hide in `to` goes.
  bool layers = false;
};

// What is in the folder `from` into the folder `to`: folders that are there already are merged,
// anything else gives way. The folder `to` itself stays as it is.
[[nodiscard]] Result<void> copy_contents(int from, int to, const CopyOptions& options);

// The object `name` of the folder `from` as `to_name` into the folder `to`, by the same rules.
[[nodiscard]] Result<void> copy_object(int from, const std::string& name, int to,
                                       const std::string& to_name, const CopyOptions& options);

}  // namespace lab::engine::layer
