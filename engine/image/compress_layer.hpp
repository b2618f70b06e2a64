// The compressed form of a layer that was made here (commit, build), for its first push: packed
// from the layer's folder, checked against its diff id, and kept in the store.
#pragma once

#include <string>

#include "base/error.hpp"
#include "engine/image/gzip_file.hpp"
#include "engine/image/image_store.hpp"

namespace lab::engine::image {

// Does nothing if the store has a compressed form. Blocks.
[[nodiscard]] Result<void> compress_layer(ImageStore& store, const std::string& diff_id);

}  // namespace lab::engine::image
