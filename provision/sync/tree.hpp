// A folder of this host as it is to be on a machine: the names in it with their kinds, modes and
// times. Links are entries of their own and never followed.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"

namespace lab::provision {

enum class EntryKind : std::uint8_t { file, folder, link };

struct TreeEntry {
  EntryKind kind = EntryKind::file;
  unsigned mode = 0;          // of a file or folder: the permission bits
  std::uint64_t size = 0;     // of a file
  std::int64_t mtime_ns = 0;  // of a file; since 1970
  std::string target;         // of a link: its text
  bool operator==(const TreeEntry&) const = default;
};

// By the path from the folder; a folder comes before what is in it.
using Tree = std::map<std::string, TreeEntry>;

// Names that stay out of a tree, with all below them. A pattern is the shell's (*, ?, [a-z]); one
// without a slash is for names anywhere, one with a slash for paths from the folder, and one that
// ends with a slash for folders only.
class Exclude {
 public:
  explicit Exclude(const std::vector<std::string>& patterns);
  // Of the path itself; whoever walks a tree has asked for the folders above it.
  [[nodiscard]] bool matches(std::string_view path, bool is_folder) const;
  // Of the path or of a folder above it.
  [[nodiscard]] bool covers(std::string_view path, bool is_folder) const;

 private:
  struct Pattern {
    std::string text;
    bool whole_path = false;
    bool folders_only = false;
  };
  std::vector<Pattern> patterns_;
};

// Files, folders and links below `folder`; sockets, pipes and devices are left out, and so is what
// vanishes meanwhile. Code::not_found when the folder is not there, Code::invalid_argument for more
// than a quarter of a million entries.
[[nodiscard]] Result<Tree> read_tree(const std::filesystem::path& folder, const Exclude& exclude);

}  // namespace lab::provision
