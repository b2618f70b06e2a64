#include "engine/build/import.hpp"

#include "base/file.hpp"
#include "engine/build/run_config.hpp"
#include "engine/build/step_image.hpp"
#include "engine/layer/unpack.hpp"

namespace lab::engine::build {

Result<image::ImagePtr> import_image(image::ImageStore& store, layer::ByteSource& archive,
                                     const ImportRequest& request, WallTime now) {
  ImageStep step;
  LAB_CHECK(apply_changes(step.config, request.changes));
  step.comment = request.comment;
  const LayerFolder folder(store);
  LAB_CHECK(make_directories(folder.path()));
  const auto tar = layer::make_decompressor(archive);
  LAB_CHECK(layer::unpack_layer(*tar, folder.path()));
  LAB_TRY(step.diff_id, add_upper_layer(store, folder.path(), Upper::take));
  return add_step(store, step, now);
}

}  // namespace lab::engine::build
