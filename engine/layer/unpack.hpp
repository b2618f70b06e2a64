// A tar stream unpacked into a folder. A layer's becomes what overlayfs can use as a lower
// directory: whiteouts (".wh.NAME") become character devices 0/0, opaque markers the attribute
// trusted.overlay.opaque. Owners, modes, times, extended attributes, hard links and devices are
// kept, so it needs root.
//
// Whatever the tar says, nothing outside the folder is read or written: parents are opened with
// openat2(RESOLVE_IN_ROOT), so that links and ".." end at the folder, and the last component of a
// path is never followed.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>

#include "base/error.hpp"
#include "engine/layer/byte_source.hpp"

namespace lab::engine::layer {

struct UnpackResult {
  std::uint64_t size_bytes = 0;  // of the regular files, and of links' targets as Docker counts
  std::uint64_t entries = 0;
};

// `tar` is uncompressed and read to its very end. `directory` exists and is empty; on an error it
// holds what came before. Code::invalid_argument on a malformed tar or an entry that leaves the
// tree.
[[nodiscard]] Result<UnpackResult> unpack_layer(ByteSource& tar,
                                                const std::filesystem::path& directory);

// As above, of a tar that is no layer: names that begin with ".wh." are plain files, and the folder
// may hold something, which is merged (folders) or replaced. It keeps its own owner and mode.
[[nodiscard]] Result<UnpackResult> unpack_files(ByteSource& tar,
                                                const std::filesystem::path& directory);
[[nodiscard]] Result<UnpackResult> unpack_files(ByteSource& tar, int directory);

struct FileOptions {
  // A folder in the place of something else, or the other way round, is an error instead of being
  // replaced. `place` is the folder's name in that error's text.
  bool keep_kinds = false;
  std::string place;
  // Instead of the owners in the tar.
  std::optional<std::pair<uid_t, gid_t>> owner;
};
[[nodiscard]] Result<UnpackResult> unpack_files(ByteSource& tar, int directory,
                                                const FileOptions& options);

// Whether a tar can be read from `bytes`, compressed or not: its first header is looked at.
[[nodiscard]] bool is_tar(ByteSource& bytes);

// Removes a folder and all below it without following links; not being there is no error.
[[nodiscard]] Result<void> remove_tree(const std::filesystem::path& directory);

}  // namespace lab::engine::layer
