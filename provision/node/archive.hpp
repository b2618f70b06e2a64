// A gzipped tar archive built in memory: many files reach a machine in one stream.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.hpp"

namespace lab::provision {

class Archive {
 public:
  // `mtime` in seconds since 1970, of every entry.
  explicit Archive(std::int64_t mtime) : mtime_(mtime) {}
  // `path` is absolute; the archive is unpacked in "/". Owner is root.
  void add_file(std::string_view path, std::string_view content, unsigned mode);
  void add_symlink(std::string_view path, std::string_view target);
  // The whole, compressed for speed. The object is spent afterwards.
  [[nodiscard]] Result<std::string> finish();

 private:
  void add_entry(std::string_view path, char kind, std::string_view content, unsigned mode,
                 std::string_view link_target);
  void add_header(std::string_view name, char kind, std::size_t size, unsigned mode,
                  std::string_view link_target);
  void add_content(std::string_view content);

  std::int64_t mtime_;
  std::string bytes_;
};

}  // namespace lab::provision
