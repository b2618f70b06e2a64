// Tar archives in the pax format, entry by entry. What fits into the plain header of POSIX goes
// there; long names, large numbers, names that are not ASCII and extended attributes go into a pax
// header before it. The same entries always give the same bytes.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "base/error.hpp"

namespace lab::engine::layer {

using TarSink = std::function<Result<void>(std::string_view bytes)>;

struct TarEntry {
  std::string name;       // a folder's ends with a slash
  mode_t mode = 0;        // with the file's type (S_IFREG...)
  std::string hard_link;  // the name of an earlier entry that this one is too; or empty
  std::string symbolic_link;
  std::uint64_t size_bytes = 0;
  uid_t uid = 0;
  gid_t gid = 0;
  std::int64_t mtime_seconds = 0;
  dev_t device = 0;
  std::map<std::string, std::string> attributes;
};

class TarWriter {
 public:
  // `sink` outlives the writer.
  explicit TarWriter(const TarSink& sink) : sink_(sink) {}

  // Begins an entry; size_bytes of content follow through data(). What is missing of it at the next
  // entry is filled up with zeros.
  [[nodiscard]] Result<void> header(const TarEntry& entry);
  [[nodiscard]] Result<void> data(std::string_view bytes);
  // A regular file of this content, mode 0644.
  [[nodiscard]] Result<void> file(const std::string& name, std::string_view content,
                                  std::int64_t mtime_seconds = 0);
  // The end of the archive.
  [[nodiscard]] Result<void> finish();

 private:
  [[nodiscard]] Result<void> complete_entry();
  [[nodiscard]] Result<void> emit(std::string_view bytes);

  const TarSink& sink_;
  std::uint64_t left_ = 0;     // of the entry's content
  std::uint64_t padding_ = 0;  // after it
};

}  // namespace lab::engine::layer
