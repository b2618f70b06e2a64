// The sources of COPY and ADD: which objects of a tree the words name, and a digest of each for the
// cache. Modification times do not count, as for dockerd.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/error.hpp"

namespace lab::engine::build {

struct Source {
  std::filesystem::path root;  // of the tree it lies in
  std::string path;            // in the tree, links resolved within it; empty: the tree itself
  std::string name;            // that it gets in a folder: of the path as given
  std::string digest;          // "file:..." or "dir:..."
  bool is_folder = false;
  bool is_download = false;  // never unpacked
};

// What `word` ("src", "*.c", "/etc/passwd") names below `root`, in the order of the names. Blocks.
// Code::not_found when it names nothing.
[[nodiscard]] Result<std::vector<Source>> find_sources(const std::filesystem::path& root,
                                                       const std::string& word);

// One digest for all of them.
[[nodiscard]] std::string digest_of(const std::vector<Source>& sources);

}  // namespace lab::engine::build
