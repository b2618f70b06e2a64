// A folder written as a tar stream: the opposite of unpack.hpp. The same folder always gives the
// same bytes, so that a layer's diff id can be computed at commit and the layer itself be written
// again at a later push.
//
// Entries are in the order of their names, folders before what is in them; owners, modes,
// modification times (whole seconds), devices, hard links within the folder and extended attributes
// are kept. Sockets are left out, as Docker leaves them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "base/error.hpp"
#include "engine/layer/tar_writer.hpp"

namespace lab::engine::layer {

struct PackOptions {
  // The folder is an overlay's upper directory: its marks become ".wh." entries. Otherwise
  // character devices 0/0 and trusted.overlay attributes are what they are.
  bool whiteouts = true;
  // Put before every name: "todo/" gives "todo/", "todo/a"... Empty: the folder's own entry is left
  // out.
  std::string prefix;
};

struct PackResult {
  std::uint64_t size_bytes = 0;  // of the regular files, and of links' targets as Docker counts
  std::uint64_t entries = 0;
};

// Blocks. `directory` is read without following links. An error of `sink` ends it and comes back.
[[nodiscard]] Result<PackResult> pack_directory(const std::filesystem::path& directory,
                                                const PackOptions& options, const TarSink& sink);

// One file, link or device (not followed) as a tar of one entry named `name`.
[[nodiscard]] Result<PackResult> pack_file(const std::filesystem::path& file,
                                           const std::string& name, const TarSink& sink);

struct LayerDigest {
  std::string diff_id;  // "sha256:..."
  PackResult packed;
};
[[nodiscard]] Result<LayerDigest> digest_of_layer(const std::filesystem::path& upper);

}  // namespace lab::engine::layer
