// A layer in the compressed form that registries hand out, verified and unpacked for
// ImageStore::add_layer().
#pragma once

#include <filesystem>
#include <string>

#include "engine/image/image_store.hpp"
#include "engine/layer/byte_source.hpp"
#include "engine/registry/manifest.hpp"

namespace lab::engine::registry {

// Reads `compressed` to its end. The folder and the compressed copy lie beside each other and are
// named after `place`, a path below the store's temporary folder. Code::unavailable when the bytes
// are not the descriptor's, Code::invalid_argument when the tar is not the one of `diff_id`.
[[nodiscard]] Result<image::ImageStore::NewLayer> unpack_blob(layer::ByteSource& compressed,
                                                              const Descriptor& descriptor,
                                                              const std::string& diff_id,
                                                              const std::filesystem::path& place);

// What the above has left at `place`, whether it succeeded or not.
void remove_unpacked(const std::filesystem::path& place);

}  // namespace lab::engine::registry
