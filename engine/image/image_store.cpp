#include "engine/image/image_store.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <boost/json/parse.hpp>
#include <cerrno>
#include <charconv>

#include "base/digest.hpp"
#include "base/file.hpp"
#include "base/log.hpp"
#include "engine/image/store_state.hpp"
#include "engine/layer/unpack.hpp"
#include "engine/util/json.hpp"

namespace lab::engine::image {

namespace fs = std::filesystem;
namespace json = boost::json;

namespace {

constexpr const char* schema = R"sql(
CREATE TABLE IF NOT EXISTS layers (
  number INTEGER PRIMARY KEY AUTOINCREMENT, diff_id TEXT NOT NULL UNIQUE, size INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS layer_blobs (
  digest TEXT PRIMARY KEY, diff_id TEXT NOT NULL, media_type TEXT NOT NULL, size INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS images (
  id TEXT PRIMARY KEY, config BLOB NOT NULL, parent TEXT NOT NULL, last_tagged TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS manifests (
  digest TEXT NOT NULL, image_id TEXT NOT NULL, media_type TEXT NOT NULL, content BLOB NOT NULL,
  PRIMARY KEY (digest, image_id));
CREATE TABLE IF NOT EXISTS names (reference TEXT PRIMARY KEY, image_id TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS holds (
  holder TEXT NOT NULL, position INTEGER NOT NULL, diff_id TEXT NOT NULL,
  PRIMARY KEY (holder, position));
)sql";

Result<std::vector<std::string>> diff_ids_of(const json::object& config) {
  std::vector<std::string> diff_ids;
  const json::value* rootfs = config.if_contains("rootfs");
  if (rootfs == nullptr || !rootfs->is_object()) {
    return Error{Code::invalid_argument, "invalid image JSON, no RootFS key"};
  }
  const json::value* list = rootfs->get_object().if_contains("diff_ids");
  if (list == nullptr || list->is_null()) return diff_ids;
  if (!list->is_array()) return Error{Code::invalid_argument, "rootfs.diff_ids is not a list"};
  for (const json::value& item : list->get_array()) {
    if (!item.is_string() || !is_digest(item.get_string())) {
      return Error{Code::invalid_argument, "rootfs.diff_ids holds something that is no digest"};
    }
    diff_ids.emplace_back(item.get_string());
  }
  return diff_ids;
}

Error no_such_image(std::string_view name_or_id) {
  std::string shown(name_or_id);
  if (name_or_id.size() == 64 && is_hex_id(name_or_id)) shown = "sha256:" + shown;
  if (!is_digest(shown)) {
    if (auto reference = parse_reference_with_default_tag(shown)) shown = reference->familiar();
  }
  return make_error(Code::not_found, "No such image: {}", shown);
}

}  // namespace

std::vector<std::string> chain_ids(const std::vector<std::string>& diff_ids) {
  std::vector<std::string> chain;
  for (const std::string& diff_id : diff_ids) {
    chain.push_back(chain.empty() ? diff_id : "sha256:" + sha256_hex(chain.back() + " " + diff_id));
  }
  return chain;
}

const json::object& Image::run_config() const { return object_of(config, "config"); }

Result<ImagePtr> make_image(std::string config_text) {
  boost::system::error_code failure;
  json::value parsed = json::parse(config_text, failure);
  if (failure || !parsed.is_object()) {
    return Error{Code::invalid_argument, "an image configuration is not a JSON object"};
  }
  auto image = std::make_shared<Image>();
  image->id = "sha256:" + sha256_hex(config_text);
  image->config = std::move(parsed.get_object());
  image->config_text = std::move(config_text);
  LAB_TRY(image->diff_ids, diff_ids_of(image->config));
  image->created = text_of(image->config, "created");
  if (image->created.empty()) image->created = zero_rfc3339;
  return ImagePtr(std::move(image));
}

Result<std::vector<std::string>> diff_ids_of_config(const std::string& config_text) {
  LAB_TRY(const ImagePtr image, make_image(config_text));
  return image->diff_ids;
}

Result<void> ImageStore::Impl::open_database() {
  LAB_CHECK(make_directories(root / "layers", 0700));
  LAB_CHECK(make_directories(root / "blobs" / "sha256", 0700));
  LAB_CHECK(layer::remove_tree(root / "tmp"));
  LAB_CHECK(make_directories(root / "tmp", 0700));
  LAB_TRY(database, Database::open(root / "images.db", schema));
  return {};
}

Result<void> ImageStore::Impl::load() {
  Statement layer_rows = database->prepare("SELECT number, diff_id, size FROM layers");
  while (true) {
    LAB_TRY(const bool more, layer_rows.step());
    if (!more) break;
    layers[layer_rows.text(1)] = {
        layer_rows.integer(0), static_cast<std::uint64_t>(layer_rows.integer(2)), {}};
  }
  Statement blob_rows =
      database->prepare("SELECT digest, diff_id, media_type, size FROM layer_blobs ORDER BY rowid");
  while (true) {
    LAB_TRY(const bool more, blob_rows.step());
    if (!more) break;
    const auto found = layers.find(blob_rows.text(1));
    if (found == layers.end()) continue;
    found->second.blobs.push_back(
        {blob_rows.text(0), blob_rows.text(2), static_cast<std::uint64_t>(blob_rows.integer(3))});
  }
  Statement name_rows = database->prepare("SELECT reference, image_id FROM names");
  while (true) {
    LAB_TRY(const bool more, name_rows.step());
    if (!more) break;
    LAB_TRY(Reference reference, parse_reference(name_rows.text(0)));
    names[name_rows.text(0)] = {std::move(reference), name_rows.text(1)};
  }
  Statement hold_rows =
      database->prepare("SELECT holder, diff_id FROM holds ORDER BY holder, position");
  while (true) {
    LAB_TRY(const bool more, hold_rows.step());
    if (!more) break;
    holds[hold_rows.text(0)].push_back(hold_rows.text(1));
  }
  Statement image_rows = database->prepare("SELECT config, parent, last_tagged FROM images");
  while (true) {
    LAB_TRY(const bool more, image_rows.step());
    if (!more) break;
    LAB_TRY(const ImagePtr image, make_image(image_rows.text(0)));
    auto full = std::make_shared<Image>(*image);
    full->parent = image_rows.text(1);
    full->last_tagged = image_rows.text(2);
    images[full->id] = full;
    refresh(full->id);
  }
  return {};
}

// Files that the database does not know: a crash came between making them and the commit, or
// between the commit of a removal and the end of it.
Result<void> ImageStore::Impl::remove_leftovers() {
  std::set<std::string> numbers;
  std::set<std::string> blobs;
  for (const auto& [diff_id, record] : layers) {
    numbers.insert(std::to_string(record.number));
    for (const LayerBlob& blob : record.blobs) blobs.emplace(digest_hex(blob.digest));
  }
  std::vector<fs::path> leftovers;
  std::error_code failure;
  for (const auto& entry : fs::directory_iterator(root / "layers", failure)) {
    if (!numbers.contains(entry.path().filename())) leftovers.push_back(entry.path());
  }
  for (const auto& entry : fs::directory_iterator(root / "blobs" / "sha256", failure)) {
    if (!blobs.contains(entry.path().filename())) leftovers.push_back(entry.path());
  }
  for (const fs::path& path : leftovers) {
    log::info("removing {}, left by an interrupted pull or removal", path.string());
    LAB_CHECK(layer::remove_tree(path));
  }
  return {};
}

Result<void> ImageStore::Impl::sync_files() {
  const std::scoped_lock sync_lock(sync_mutex);
  {
    const std::scoped_lock lock(mutex);
    if (!std::exchange(files_unsynced, false)) return {};
  }
  const Fd fd(::open(root.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (fd && ::syncfs(fd.get()) == 0) return {};
  const int number = errno;
  const std::scoped_lock lock(mutex);
  files_unsynced = true;
  return errno_error(number, "syncing " + root.string());
}

Result<std::vector<fs::path>> ImageStore::Impl::folders_of(
    const std::vector<std::string>& diff_ids) const {
  std::vector<fs::path> folders;
  for (auto diff_id = diff_ids.rbegin(); diff_id != diff_ids.rend(); ++diff_id) {
    const auto found = layers.find(*diff_id);
    if (found == layers.end()) {
      return make_error(Code::internal, "layer {} is not in the store", *diff_id);
    }
    folders.push_back(layer_path(found->second.number));
  }
  return folders;
}

std::vector<NameRecord> ImageStore::Impl::names_of(const std::string& image_id) const {
  std::vector<NameRecord> found;
  for (const auto& [canonical, record] : names) {
    if (record.image_id == image_id) found.push_back(record);
  }
  return found;
}

std::vector<std::string> ImageStore::Impl::children_of(const std::string& image_id) const {
  std::vector<std::string> found;
  for (const auto& [id, image] : images) {
    if (image->parent == image_id) found.push_back(id);
  }
  return found;
}

void ImageStore::Impl::refresh(const std::string& image_id, const std::string& last_tagged) {
  const auto found = images.find(image_id);
  if (found == images.end()) return;
  auto image = std::make_shared<Image>(*found->second);
  image->tags.clear();
  image->digests.clear();
  for (const NameRecord& name : names_of(image_id)) {
    (name.reference.digest.empty() ? image->tags : image->digests)
        .push_back(name.reference.familiar());
  }
  image->size_bytes = 0;
  for (const std::string& diff_id : image->diff_ids) {
    const auto layer = layers.find(diff_id);
    if (layer != layers.end()) image->size_bytes += layer->second.size_bytes;
  }
  if (!last_tagged.empty()) image->last_tagged = last_tagged;
  found->second = std::move(image);
}

ImagePtr ImageStore::Impl::find(std::string_view name_or_id) const {
  std::string id(name_or_id);
  if (id.size() == 64 && is_hex_id(id)) id = "sha256:" + id;
  if (is_digest(id)) {
    const auto found = images.find(id);
    return found == images.end() ? nullptr : found->second;
  }
  if (auto reference = parse_reference_with_default_tag(name_or_id)) {
    if (!reference->digest.empty()) reference->tag.clear();
    const auto found = names.find(reference->canonical());
    if (found != names.end()) return images.at(found->second.image_id);
  }
  // A prefix of an id that fits one image only.
  if (!id.starts_with("sha256:")) id = "sha256:" + id;
  if (!is_hex_id(digest_hex(id))) return nullptr;
  const auto first = images.lower_bound(id);
  if (first == images.end() || !first->first.starts_with(id)) return nullptr;
  const auto second = std::next(first);
  if (second != images.end() && second->first.starts_with(id)) return nullptr;
  return first->second;
}

ImageStore::ImageStore(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ImageStore::~ImageStore() = default;

Result<std::unique_ptr<ImageStore>> ImageStore::open(StoreOptions options, const Clock& clock) {
  auto impl = std::make_unique<Impl>(options.data_root / "image", clock);
  LAB_CHECK(impl->open_database());
  LAB_CHECK(impl->load());
  std::unique_ptr<ImageStore> store(new ImageStore(std::move(impl)));
  LAB_CHECK(store->collect());
  LAB_CHECK(store->impl_->remove_leftovers());
  return store;
}

void ImageStore::set_users(const ImageUsers* users) { impl_->users = users; }
void ImageStore::set_event_sink(std::function<void(ImageEvent)> sink) {
  impl_->sink = std::move(sink);
}
void ImageStore::emit(ImageEvent event) const {
  if (impl_->sink) impl_->sink(std::move(event));
}

Result<ImagePtr> ImageStore::resolve(std::string_view name_or_id) const {
  const std::scoped_lock lock(impl_->mutex);
  if (ImagePtr image = impl_->find(name_or_id)) return image;
  if (!is_digest(name_or_id) && !is_hex_id(name_or_id)) LAB_CHECK(parse_reference(name_or_id));
  return no_such_image(name_or_id);
}

Result<ImagePtr> ImageStore::by_id(const std::string& id) const {
  const std::scoped_lock lock(impl_->mutex);
  const auto found = impl_->images.find(id);
  if (found == impl_->images.end()) return no_such_image(id);
  return found->second;
}

std::vector<ImagePtr> ImageStore::list() const {
  const std::scoped_lock lock(impl_->mutex);
  std::vector<ImagePtr> all;
  for (const auto& [id, image] : impl_->images) all.push_back(image);
  return all;
}

std::vector<ImageStore::NamedImage> ImageStore::references() const {
  const std::scoped_lock lock(impl_->mutex);
  std::vector<NamedImage> all;
  for (const auto& [canonical, name] : impl_->names) all.push_back({name.reference, name.image_id});
  return all;
}

std::vector<std::string> ImageStore::children_of(const std::string& image_id) const {
  const std::scoped_lock lock(impl_->mutex);
  return impl_->children_of(image_id);
}

Result<std::vector<fs::path>> ImageStore::lower_directories(const Image& image) const {
  const std::scoped_lock lock(impl_->mutex);
  return impl_->folders_of(image.diff_ids);
}

Result<std::vector<fs::path>> ImageStore::held_lower_directories(const std::string& holder) const {
  const std::scoped_lock lock(impl_->mutex);
  const auto found = impl_->holds.find(holder);
  if (found == impl_->holds.end()) {
    return make_error(Code::not_found, "{} holds no layers", holder);
  }
  return impl_->folders_of(found->second);
}

fs::path ImageStore::blob_path(std::string_view digest) const { return impl_->blob_path(digest); }
fs::path ImageStore::temporary_directory() const { return impl_->root / "tmp"; }

bool ImageStore::has_blob(std::string_view digest) const { return !layer_of_blob(digest).empty(); }

bool ImageStore::has_layer(std::string_view diff_id) const {
  const std::scoped_lock lock(impl_->mutex);
  return impl_->layers.find(diff_id) != impl_->layers.end();
}

std::vector<ImageStore::LayerBlob> ImageStore::layer_blobs(std::string_view diff_id) const {
  const std::scoped_lock lock(impl_->mutex);
  const auto found = impl_->layers.find(diff_id);
  return found == impl_->layers.end() ? std::vector<LayerBlob>() : found->second.blobs;
}

std::string ImageStore::layer_of_blob(std::string_view digest) const {
  const std::scoped_lock lock(impl_->mutex);
  for (const auto& [diff_id, record] : impl_->layers) {
    for (const LayerBlob& blob : record.blobs) {
      if (blob.digest == digest) return diff_id;
    }
  }
  return {};
}

std::uint64_t ImageStore::layer_size_bytes(std::string_view diff_id) const {
  const std::scoped_lock lock(impl_->mutex);
  const auto found = impl_->layers.find(diff_id);
  return found == impl_->layers.end() ? 0 : found->second.size_bytes;
}

Result<fs::path> ImageStore::layer_directory(std::string_view diff_id) const {
  const std::scoped_lock lock(impl_->mutex);
  LAB_TRY(const std::vector<fs::path> folders, impl_->folders_of({std::string(diff_id)}));
  return folders.front();
}

ImageStore::Guard::Guard(ImageStore& store) : store_(store) {
  const std::scoped_lock lock(store_.impl_->mutex);
  ++store_.impl_->guards;
}

ImageStore::Guard::~Guard() {
  const std::scoped_lock lock(store_.impl_->mutex);
  --store_.impl_->guards;
}

Result<std::vector<ImageStore::StoredManifest>> ImageStore::manifests_of(
    const std::string& image_id) const {
  const std::scoped_lock lock(impl_->mutex);
  Statement rows = impl_->database->prepare(
      "SELECT digest, media_type, content FROM manifests WHERE image_id = ? ORDER BY rowid");
  rows.bind(image_id);
  std::vector<StoredManifest> found;
  while (true) {
    LAB_TRY(const bool more, rows.step());
    if (!more) return found;
    found.push_back({rows.text(0), rows.text(1), rows.text(2)});
  }
}

}  // namespace lab::engine::image
