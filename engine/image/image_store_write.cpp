// ImageStore: what adds and names.
#include <unistd.h>

#include <cerrno>

#include "base/digest.hpp"
#include "engine/image/store_state.hpp"
#include "engine/layer/unpack.hpp"

namespace lab::engine::image {

namespace fs = std::filesystem;

namespace {

Result<void> move_file(const fs::path& from, const fs::path& to) {
  if (::rename(from.c_str(), to.c_str()) == 0) return {};
  return errno_error(errno, fmt::format("moving {} to {}", from.string(), to.string()));
}

std::uint64_t bytes_of_file(const fs::path& path) {
  std::error_code failure;
  const auto size = fs::file_size(path, failure);
  return failure ? 0 : size;
}

}  // namespace

Result<void> ImageStore::Impl::record_layer(const NewLayer& layer, bool known) {
  LAB_TRY(Transaction transaction, Transaction::begin(*database));
  LayerRecord record;
  record.size_bytes = layer.size_bytes;
  if (known) {
    record = layers.at(layer.diff_id);
  } else {
    LAB_CHECK(database->run("INSERT INTO layers (diff_id, size) VALUES (?, ?)", layer.diff_id,
                            static_cast<std::int64_t>(layer.size_bytes)));
    record.number = database->last_insert_rowid();
    LAB_CHECK(move_file(layer.directory, layer_path(record.number)));
  }
  if (!layer.blob_file.empty()) {
    const LayerBlob blob{layer.blob, layer.media_type, bytes_of_file(layer.blob_file)};
    LAB_CHECK(move_file(layer.blob_file, blob_path(layer.blob)));
    LAB_CHECK(database->run(
        "INSERT OR REPLACE INTO layer_blobs (digest, diff_id, media_type, size)"
        " VALUES (?, ?, ?, ?)",
        blob.digest, layer.diff_id, blob.media_type, static_cast<std::int64_t>(blob.size_bytes)));
    std::erase_if(record.blobs, [&](const LayerBlob& old) { return old.digest == blob.digest; });
    record.blobs.push_back(blob);
  }
  LAB_CHECK(transaction.commit());
  layers[layer.diff_id] = std::move(record);
  files_unsynced = true;
  return {};
}

Result<void> ImageStore::Impl::without_sync(const std::function<Result<void>()>& change) {
  LAB_CHECK(database->set_durable(false));
  Result<void> changed = change();
  LAB_CHECK(database->set_durable(true));
  return changed;
}

Result<void> ImageStore::add_layer(const NewLayer& layer) {
  bool known = false;
  {
    const std::scoped_lock lock(impl_->mutex);
    known = impl_->layers.contains(layer.diff_id);
    // A layer counts only once an image has it: that commit brings this one to the disk too.
    LAB_CHECK(impl_->without_sync([&] { return impl_->record_layer(layer, known); }));
  }
  if (known) LAB_CHECK(layer::remove_tree(layer.directory));
  return {};
}

Result<void> ImageStore::Impl::put_name(const Reference& reference, const std::string& image_id) {
  return database->run("INSERT OR REPLACE INTO names (reference, image_id) VALUES (?, ?)",
                       reference.canonical(), image_id);
}

Result<void> ImageStore::Impl::put_manifest(const std::string& image_id, const std::string& text,
                                            const std::string& media_type) {
  return database->run(
      "INSERT OR REPLACE INTO manifests (digest, image_id, media_type, content)"
      " VALUES (?, ?, ?, ?)",
      "sha256:" + sha256_hex(text), image_id, media_type, text);
}

Result<bool> ImageStore::Impl::has_all_of(const std::string& image_id,
                                          const NewImage& image) const {
  if (!images.contains(image_id)) return false;
  for (const Reference& name : image.references) {
    const auto found = names.find(name.canonical());
    if (found == names.end() || found->second.image_id != image_id) return false;
  }
  if (image.manifest.empty()) return true;
  Statement row =
      database->prepare("SELECT count(*) FROM manifests WHERE digest = ? AND image_id = ?");
  row.bind("sha256:" + sha256_hex(image.manifest)).bind(image_id);
  LAB_CHECK(row.step());
  return row.integer(0) > 0;
}

Result<ImagePtr> ImageStore::add_image(const NewImage& image) {
  LAB_TRY(const ImagePtr made, make_image(image.config_text));
  {
    const std::scoped_lock lock(impl_->mutex);
    LAB_TRY(const bool nothing_new, impl_->has_all_of(made->id, image));
    if (nothing_new) return impl_->images.at(made->id);
  }
  // The files first: a committed image must not lack a byte after a power failure.
  LAB_CHECK(impl_->sync_files());
  const std::scoped_lock lock(impl_->mutex);
  LAB_CHECK(impl_->folders_of(made->diff_ids));
  LAB_TRY(Transaction transaction, Transaction::begin(*impl_->database));
  LAB_CHECK(impl_->database->run(
      "INSERT OR IGNORE INTO images (id, config, parent, last_tagged) VALUES (?, ?, ?, '')",
      made->id, made->config_text, image.parent));
  if (!image.manifest.empty()) {
    LAB_CHECK(impl_->put_manifest(made->id, image.manifest, image.manifest_media_type));
  }
  for (const Reference& name : image.references) LAB_CHECK(impl_->put_name(name, made->id));
  LAB_CHECK(transaction.commit());

  if (!impl_->images.contains(made->id)) {
    auto full = std::make_shared<Image>(*made);
    full->parent = image.parent;
    impl_->images[made->id] = std::move(full);
  }
  std::set<std::string> changed{made->id};
  for (const Reference& name : image.references) {
    NameRecord& record = impl_->names[name.canonical()];
    if (!record.image_id.empty()) changed.insert(record.image_id);
    record = {name, made->id};
  }
  for (const std::string& id : changed) impl_->refresh(id);
  return impl_->images.at(made->id);
}

Result<void> ImageStore::tag(const std::string& image_id, const Reference& reference) {
  {
    const std::scoped_lock lock(impl_->mutex);
    if (!impl_->images.contains(image_id)) {
      return make_error(Code::not_found, "No such image: {}", image_id);
    }
    const std::string now = format_rfc3339(impl_->clock.wall_now());
    LAB_TRY(Transaction transaction, Transaction::begin(*impl_->database));
    LAB_CHECK(impl_->put_name(reference, image_id));
    LAB_CHECK(
        impl_->database->run("UPDATE images SET last_tagged = ? WHERE id = ?", now, image_id));
    LAB_CHECK(transaction.commit());
    NameRecord& record = impl_->names[reference.canonical()];
    const std::string previous = std::exchange(record.image_id, image_id);
    record.reference = reference;
    impl_->refresh(previous);
    impl_->refresh(image_id, now);
  }
  if (reference.digest.empty()) emit({"tag", image_id, reference.familiar()});
  return {};
}

Result<void> ImageStore::add_pushed(const std::string& image_id, const Reference& by_digest,
                                    const std::string& manifest, const std::string& media_type) {
  const std::scoped_lock lock(impl_->mutex);
  if (!impl_->images.contains(image_id)) return {};  // removed meanwhile
  LAB_TRY(Transaction transaction, Transaction::begin(*impl_->database));
  LAB_CHECK(impl_->put_manifest(image_id, manifest, media_type));
  LAB_CHECK(impl_->put_name(by_digest, image_id));
  LAB_CHECK(transaction.commit());
  NameRecord& record = impl_->names[by_digest.canonical()];
  const std::string previous = std::exchange(record.image_id, image_id);
  record.reference = by_digest;
  impl_->refresh(previous);
  impl_->refresh(image_id);
  return {};
}

Result<void> ImageStore::Impl::record_hold(const std::string& holder,
                                           const std::vector<std::string>& diff_ids) {
  LAB_TRY(Transaction transaction, Transaction::begin(*database));
  LAB_CHECK(database->run("DELETE FROM holds WHERE holder = ?", holder));
  std::int64_t position = 0;
  for (const std::string& diff_id : diff_ids) {
    LAB_CHECK(database->run("INSERT INTO holds (holder, position, diff_id) VALUES (?, ?, ?)",
                            holder, position++, diff_id));
  }
  LAB_CHECK(transaction.commit());
  holds[holder] = diff_ids;
  return {};
}

Result<void> ImageStore::hold(const std::string& holder, const Image& image, bool durable) {
  const std::scoped_lock lock(impl_->mutex);
  LAB_CHECK(impl_->folders_of(image.diff_ids));
  if (durable) return impl_->record_hold(holder, image.diff_ids);
  return impl_->without_sync([&] { return impl_->record_hold(holder, image.diff_ids); });
}

Result<void> ImageStore::keep(const std::vector<std::string>& diff_ids) {
  if (diff_ids.empty()) return {};
  LAB_CHECK(impl_->sync_files());
  const std::scoped_lock lock(impl_->mutex);
  LAB_CHECK(impl_->folders_of(diff_ids));
  return impl_->record_hold(kept_prefix + diff_ids.back(), diff_ids);
}

}  // namespace lab::engine::image
