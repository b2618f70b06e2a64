// Images whose layers are put into a store before anybody pulls them: the pull then only fetches
// the image's description. What a machine's disk holds when it is handed out.
#pragma once

#include <filesystem>

#include "engine/image/image_store.hpp"

namespace lab::engine::registry {

// Unpacks the layers of all images in an OCI image layout (a folder with index.json and
// blobs/sha256/), but for those that are there, and has the store keep them. No image is added.
[[nodiscard]] Result<void> preload_layers(image::ImageStore& store,
                                          const std::filesystem::path& layout);

}  // namespace lab::engine::registry
