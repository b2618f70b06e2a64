#include "engine/registry/unpack_blob.hpp"

#include <fcntl.h>

#include <cerrno>

#include "base/file.hpp"
#include "engine/layer/unpack.hpp"

namespace lab::engine::registry {

namespace fs = std::filesystem;

Result<image::ImageStore::NewLayer> unpack_blob(layer::ByteSource& compressed,
                                                const Descriptor& descriptor,
                                                const std::string& diff_id, const fs::path& place) {
  image::ImageStore::NewLayer result;
  result.diff_id = diff_id;
  result.directory = place.string() + ".layer";
  result.blob = descriptor.digest;
  result.blob_file = place.string() + ".blob";
  result.media_type = descriptor.media_type;
  LAB_CHECK(make_directories(result.directory, 0755));
  Fd copy(::open(result.blob_file.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  if (!copy) return errno_error(errno, "creating " + result.blob_file.string());
  layer::HashingSource blob(compressed, std::move(copy));
  const auto decompressor = layer::make_decompressor(blob);
  layer::HashingSource tar(*decompressor);
  LAB_TRY(const layer::UnpackResult unpacked, layer::unpack_layer(tar, result.directory));
  LAB_CHECK(layer::drain(blob));
  result.size_bytes = unpacked.size_bytes;
  if (blob.bytes() != descriptor.size_bytes || blob.digest() != descriptor.digest) {
    return make_error(Code::unavailable, "filesystem layer verification failed for digest {}",
                      descriptor.digest);
  }
  if (tar.digest() != diff_id) {
    return make_error(Code::invalid_argument,
                      "layers from manifest don't match image configuration");
  }
  return result;
}

void remove_unpacked(const fs::path& place) {
  static_cast<void>(layer::remove_tree(place.string() + ".layer"));
  static_cast<void>(layer::remove_tree(place.string() + ".blob"));
}

}  // namespace lab::engine::registry
