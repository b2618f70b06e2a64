// The inside of ImageStore: what images.db holds, in memory. Private to engine/image.
#pragma once

#include <map>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "engine/image/image_store.hpp"
#include "engine/sqlite.hpp"

namespace lab::engine::image {

struct LayerRecord {
  std::int64_t number = 0;  // the name of its folder
  std::uint64_t size_bytes = 0;
  std::vector<ImageStore::LayerBlob> blobs;
};

struct NameRecord {
  Reference reference;
  std::string image_id;
};

// Begins the holder of layers that are kept for good.
inline constexpr const char* kept_prefix = "kept:";

struct ImageStore::Impl {
  Impl(std::filesystem::path root_path, const Clock& clock_source)
      : root(std::move(root_path)), clock(clock_source) {}

  const std::filesystem::path root;  // DATA_ROOT/image
  const Clock& clock;
  const ImageUsers* users = nullptr;
  std::function<void(ImageEvent)> sink;

  // Held while files are brought to the disk, so that whoever finds nothing to sync knows that it
  // is done. Taken before `mutex`.
  std::mutex sync_mutex;
  mutable std::mutex mutex;  // guards all below
  std::unique_ptr<Database> database;
  std::map<std::string, ImagePtr> images;
  std::map<std::string, NameRecord> names;  // by Reference::canonical()
  std::map<std::string, LayerRecord, std::less<>> layers;
  std::map<std::string, std::vector<std::string>> holds;
  int guards = 0;
  bool files_unsynced = false;  // layers were added since the last sync_files()

  [[nodiscard]] std::filesystem::path layer_path(std::int64_t number) const {
    return root / "layers" / std::to_string(number);
  }
  [[nodiscard]] std::filesystem::path blob_path(std::string_view digest) const {
    return root / "blobs" / "sha256" / digest_hex(digest);
  }
  [[nodiscard]] Result<void> open_database();
  [[nodiscard]] Result<void> load();
  [[nodiscard]] Result<void> remove_leftovers();
  // Layers added so far are on the disk when it returns.
  [[nodiscard]] Result<void> sync_files();

  [[nodiscard]] Result<std::vector<std::filesystem::path>> folders_of(
      const std::vector<std::string>& diff_ids) const;
  // Makes the image's snapshot anew after its names changed.
  void refresh(const std::string& image_id, const std::string& last_tagged = {});
  [[nodiscard]] std::vector<NameRecord> names_of(const std::string& image_id) const;
  [[nodiscard]] std::vector<std::string> children_of(const std::string& image_id) const;
  [[nodiscard]] ImagePtr find(std::string_view name_or_id) const;
  [[nodiscard]] Result<void> put_name(const Reference& reference, const std::string& image_id);

  // Nothing would change if the image were added.
  [[nodiscard]] Result<bool> has_all_of(const std::string& image_id, const NewImage& image) const;
  [[nodiscard]] Result<void> record_layer(const NewLayer& layer, bool known);
  [[nodiscard]] Result<void> record_hold(const std::string& holder,
                                         const std::vector<std::string>& diff_ids);
  // A change that may be lost with the machine's power, but not alone: a later one brings it to the
  // disk too.
  [[nodiscard]] Result<void> without_sync(const std::function<Result<void>()>& change);
  [[nodiscard]] Result<void> put_manifest(const std::string& image_id, const std::string& text,
                                          const std::string& media_type);

  // Layers that an image or a holder needs.
  [[nodiscard]] std::set<std::string> layers_needed() const;
  struct Garbage {
    std::vector<std::filesystem::path> paths;
    std::uint64_t bytes = 0;
  };
  // Forgets layers nobody needs, unless a guard is there; their files are the caller's to remove,
  // without the lock.
  [[nodiscard]] Result<Garbage> forget_unused_layers();
};

[[nodiscard]] Result<ImagePtr> make_image(std::string config_text);

}  // namespace lab::engine::image
