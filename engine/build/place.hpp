// COPY's and ADD's second half: the sources put into an image's files.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "engine/build/sources.hpp"
#include "engine/layer/copy_tree.hpp"

namespace lab::engine::build {

struct Placement {
  std::string destination;            // absolute; a slash at the end makes it a folder
  std::optional<layer::Owner> owner;  // of all that is made; empty: the sources' own
  bool unpack = false;                // ADD: archives among the sources are unpacked
};

// `root` is the image, mounted writable. Links in it are resolved as if it were "/". Blocks.
[[nodiscard]] Result<void> place_sources(const std::filesystem::path& root,
                                         const std::vector<Source>& sources,
                                         const Placement& placement);

// The folder, made with its parents if missing, for WORKDIR. Blocks.
[[nodiscard]] Result<void> place_folder(const std::filesystem::path& root, const std::string& path);

}  // namespace lab::engine::build
