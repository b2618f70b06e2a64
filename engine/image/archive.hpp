// Images in one tar file, as `docker save` writes and `docker load` reads it: configurations,
// layers, and manifest.json that says which belong together and how they are named.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "engine/image/image_store.hpp"
#include "engine/layer/byte_source.hpp"
#include "engine/layer/tar_writer.hpp"

namespace lab::engine::image {

// Names as the user gives them: "app:1" one tag, "app" every tag of the repository, an id the image
// without names. Checked before anything is written: Code::not_found "No such image: x". Blocks.
[[nodiscard]] Result<void> save_images(const ImageStore& store,
                                       const std::vector<std::string>& names,
                                       const layer::TarSink& sink);

// What came in: "app:1", or an id if the archive gives no name.
struct LoadedImage {
  std::string name;
  std::string id;
  bool named = false;
};
// Reads an archive (plain, gzip or zstd). Layers are verified against the configuration; names move
// from images that had them. Blocks.
[[nodiscard]] Result<std::vector<LoadedImage>> load_images(ImageStore& store,
                                                           layer::ByteSource& archive);

// The uncompressed layer, exactly as its diff id says.
[[nodiscard]] Result<void> write_layer_tar(const ImageStore& store, const std::string& diff_id,
                                           const layer::TarSink& sink);

}  // namespace lab::engine::image
