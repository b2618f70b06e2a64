#include "engine/image/compress_layer.hpp"

#include "base/digest.hpp"
#include "base/random.hpp"
#include "engine/layer/pack.hpp"
#include "engine/layer/unpack.hpp"

namespace lab::engine::image {

Result<void> compress_layer(ImageStore& store, const std::string& diff_id) {
  if (!store.layer_blobs(diff_id).empty()) return {};
  LAB_TRY(const std::filesystem::path folder, store.layer_directory(diff_id));
  ImageStore::NewLayer layer;
  layer.diff_id = diff_id;
  layer.blob_file = store.temporary_directory() / ("compress-" + secure_random_hex(8));
  LAB_TRY(GzipFile gzip, GzipFile::create(layer.blob_file, GzipFile::usual));
  Sha256 hash;
  const layer::TarSink sink = [&](std::string_view bytes) {
    hash.update(bytes);
    return gzip.write(bytes);
  };
  LAB_CHECK(layer::pack_directory(folder, layer::PackOptions{}, sink));
  LAB_TRY(layer.blob, gzip.finish());
  if ("sha256:" + to_hex(hash.finish()) != diff_id) {
    static_cast<void>(layer::remove_tree(layer.blob_file));
    return make_error(Code::internal, "layer {} is not what it was: its folder has changed",
                      diff_id);
  }
  layer.media_type = gzip_media_type;
  return store.add_layer(layer);
}

}  // namespace lab::engine::image
