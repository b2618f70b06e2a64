// `docker import`: a tar of files as an image of one layer.
#pragma once

#include <string>
#include <vector>

#include "base/error.hpp"
#include "engine/image/image_store.hpp"
#include "engine/layer/byte_source.hpp"

namespace lab::engine::build {

struct ImportRequest {
  std::string comment;
  std::vector<std::string> changes;  // instructions, as in a Dockerfile
};

// Blocks. The image has no name.
[[nodiscard]] Result<image::ImagePtr> import_image(image::ImageStore& store,
                                                   layer::ByteSource& archive,
                                                   const ImportRequest& request, WallTime now);

}  // namespace lab::engine::build
