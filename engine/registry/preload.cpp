#include "engine/registry/preload.hpp"

#include "base/file.hpp"
#include "engine/registry/unpack_blob.hpp"

namespace lab::engine::registry {

namespace fs = std::filesystem;

namespace {

class Preload {
 public:
  Preload(image::ImageStore& store, const fs::path& layout) : store_(store), layout_(layout) {}

  Result<void> run() {
    LAB_TRY(const std::string text, read_file(layout_ / "index.json"));
    LAB_TRY(const ManifestList index, parse_manifest_list(text, oci_index));
    for (const ManifestList::Entry& entry : index.entries) {
      auto done = one_image(entry.descriptor);
      if (!done) return done.error().wrap("image {}", entry.descriptor.digest);
    }
    return {};
  }

 private:
  [[nodiscard]] fs::path blob(const Descriptor& descriptor) const {
    return layout_ / "blobs" / "sha256" / image::digest_hex(descriptor.digest);
  }

  Result<void> one_image(const Descriptor& descriptor) {
    LAB_TRY(const std::string text, read_file(blob(descriptor)));
    LAB_TRY(const Manifest manifest, parse_manifest(text, descriptor.media_type));
    LAB_TRY(const std::string config, read_file(blob(manifest.config)));
    LAB_TRY(const std::vector<std::string> diff_ids, image::diff_ids_of_config(config));
    if (diff_ids.size() != manifest.layers.size())
      return make_error(Code::invalid_argument, "{} layers, {} in its configuration",
                        manifest.layers.size(), diff_ids.size());
    for (std::size_t i = 0; i < diff_ids.size(); ++i)
      LAB_CHECK(one_layer(manifest.layers[i], diff_ids[i]));
    return store_.keep(diff_ids);
  }

  Result<void> one_layer(const Descriptor& descriptor, const std::string& diff_id) {
    if (store_.has_layer(diff_id)) return {};
    LAB_TRY(layer::FileSource file, layer::FileSource::open(blob(descriptor).string()));
    const fs::path place = store_.temporary_directory() / image::digest_hex(diff_id);
    auto unpacked = unpack_blob(file, descriptor, diff_id, place);
    Result<void> added;
    if (unpacked) {
      added = store_.add_layer(*unpacked);
    } else {
      added = unpacked.error();
    }
    if (!added) remove_unpacked(place);
    return added;
  }

  image::ImageStore& store_;
  const fs::path& layout_;
};

}  // namespace

Result<void> preload_layers(image::ImageStore& store, const fs::path& layout) {
  const image::ImageStore::Guard guard(store);
  return Preload(store, layout).run();
}

}  // namespace lab::engine::registry
