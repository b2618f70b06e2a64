// Files of a layer's folder made and changed without ever leaving it. The system calls take a
// folder's descriptor and one last component; this finds the descriptor.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.hpp"
#include "base/file.hpp"

namespace lab::engine::layer {

// "a/./b//c" -> "a/b/c", "/" and "." -> "". Code::invalid_argument when ".." leads out, and on an
// embedded NUL.
[[nodiscard]] Result<std::string> clean_path(std::string_view path);
// "a/b/c" -> {"a/b", "c"}.
[[nodiscard]] std::pair<std::string, std::string> split_path(const std::string& path);

class Tree {
 public:
  [[nodiscard]] static Result<Tree> open(const std::string& directory);
  // Of an open folder, which stays the caller's.
  [[nodiscard]] static Result<Tree> open(int directory);

  [[nodiscard]] int root() const { return root_.get(); }
  // The folder `path` (clean), resolved as if the tree were "/"; missing folders are made (0755).
  // The descriptor stays valid until the next call.
  [[nodiscard]] Result<int> folder(const std::string& path);
  // The folder as it is, or Code::not_found.
  [[nodiscard]] Result<Fd> existing_folder(const std::string& path) const;
  // Whatever is at `path` (O_PATH), links resolved within the tree, or Code::not_found.
  [[nodiscard]] Result<Fd> locate(const std::string& path) const;
  // A regular file to read, links resolved within the tree.
  [[nodiscard]] Result<Fd> open_file(const std::string& path) const;
  // Forget what was looked up: a folder may have been replaced.
  void forget() { cached_.reset(), cached_path_.clear(); }

 private:
  explicit Tree(Fd root) : root_(std::move(root)) {}
  Fd root_;
  Fd cached_;
  std::string cached_path_;
};

// The names in an open folder, sorted, without "." and "..".
[[nodiscard]] Result<std::vector<std::string>> names_in(int folder);

// Removes `name` in `folder` with all below it, without following links; absent is no error.
[[nodiscard]] Result<void> remove_at(int folder, const std::string& name);

}  // namespace lab::engine::layer
