// ImageStore: what removes. The rules and texts of removal are dockerd's.
#include <algorithm>

#include "engine/image/store_state.hpp"
#include "engine/layer/unpack.hpp"

namespace lab::engine::image {

namespace fs = std::filesystem;

namespace {

bool is_id_prefix(const std::string& image_id, std::string_view given) {
  return image_id.starts_with(given) || digest_hex(image_id).starts_with(given);
}

// At most one tag, and all digests in that tag's repository.
bool is_single_reference(const std::vector<NameRecord>& names) {
  if (names.size() <= 1) return true;
  const Reference* tagged = nullptr;
  std::set<std::string> digest_repositories;
  for (const NameRecord& name : names) {
    if (!name.reference.digest.empty()) {
      digest_repositories.insert(name.reference.name());
    } else if (tagged == nullptr) {
      tagged = &name.reference;
    } else {
      return false;
    }
  }
  if (tagged == nullptr) tagged = &names.front().reference;
  return digest_repositories.size() == 1 && digest_repositories.contains(tagged->name());
}

struct Conflict {
  bool hard = false;
  bool used = false;
  std::string message;
};

Error conflict_error(const std::string& image_id, const Conflict& conflict) {
  return make_error(Code::conflict, "conflict: unable to delete {} ({}) - {}", short_id(image_id),
                    conflict.hard ? "cannot be forced" : "must be forced", conflict.message);
}

Result<void> remove_files(const std::vector<fs::path>& paths) {
  for (const fs::path& path : paths) LAB_CHECK(layer::remove_tree(path));
  return {};
}

// One removal. Works on the store's state with its lock held, except while it asks who uses an
// image.
class Removal {
 public:
  Removal(ImageStore::Impl& state, const std::map<std::string, std::vector<ImageUser>>& users)
      : state_(state), users_(users) {}

  Result<void> run(const std::string& given, bool force, bool prune_parents);

  std::vector<RemovedItem> items;
  std::vector<ImageEvent> events;

 private:
  // Which conflicts count.
  struct Mask {
    bool references = false;
    bool stopped = false;
  };

  const std::vector<ImageUser>& users_of(const std::string& image_id) const {
    static const std::vector<ImageUser> none;
    const auto found = users_.find(image_id);
    return found == users_.end() ? none : found->second;
  }
  std::optional<Conflict> conflict(const std::string& image_id, Mask mask) const;
  Result<void> untag(const Reference& reference, const std::string& image_id, bool event);
  Result<bool> remove_reference(const std::string& given, const ImagePtr& image, bool force);
  Result<void> delete_image(const std::string& image_id, bool force, bool prune, bool quiet);
  void report_layers(const std::vector<std::string>& diff_ids);

  ImageStore::Impl& state_;
  const std::map<std::string, std::vector<ImageUser>>& users_;
};

std::optional<Conflict> Removal::conflict(const std::string& image_id, Mask mask) const {
  if (!state_.children_of(image_id).empty()) {
    return Conflict{true, false, "image has dependent child images"};
  }
  const auto user = [&](bool running) -> const ImageUser* {
    for (const ImageUser& candidate : users_of(image_id)) {
      if (candidate.running == running) return &candidate;
    }
    return nullptr;
  };
  if (const ImageUser* running = user(true)) {
    return Conflict{true, true,
                    "image is being used by running container " + short_id(running->container_id)};
  }
  if (mask.references && !state_.names_of(image_id).empty()) {
    return Conflict{false, false, "image is referenced in multiple repositories"};
  }
  if (const ImageUser* stopped = user(false); stopped != nullptr && mask.stopped) {
    return Conflict{false, true,
                    "image is being used by stopped container " + short_id(stopped->container_id)};
  }
  return std::nullopt;
}

Result<void> Removal::untag(const Reference& reference, const std::string& image_id, bool event) {
  LAB_CHECK(state_.database->run("DELETE FROM names WHERE reference = ?", reference.canonical()));
  items.push_back({false, reference.familiar()});
  if (event) events.push_back({"untag", image_id, image_id});
  state_.names.erase(reference.canonical());
  state_.refresh(image_id);
  return {};
}

// True if the image has no name left and goes as well.
Result<bool> Removal::remove_reference(const std::string& given, const ImagePtr& image,
                                       bool force) {
  if (!force && is_single_reference(state_.names_of(image->id)) && !users_of(image->id).empty()) {
    return make_error(Code::conflict,
                      "conflict: unable to remove repository reference \"{}\" (must force) - "
                      "container {} is using its referenced image {}",
                      given, short_id(users_of(image->id).front().container_id),
                      short_id(image->id));
  }
  LAB_TRY(Reference reference, parse_reference_with_default_tag(given));
  if (!reference.digest.empty()) reference.tag.clear();
  LAB_CHECK(untag(reference, image->id, true));
  const auto same_repository = [&](const NameRecord& name) {
    return name.reference.name() == reference.name();
  };
  const std::vector<NameRecord> left = state_.names_of(image->id);
  const bool tag_left = std::any_of(left.begin(), left.end(), [&](const NameRecord& name) {
    return name.reference.digest.empty() && same_repository(name);
  });
  if (reference.digest.empty() && !tag_left) {
    for (const NameRecord& name : left) {
      if (same_repository(name)) LAB_CHECK(untag(name.reference, image->id, false));
    }
  }
  return state_.names_of(image->id).empty();
}

Result<void> Removal::run(const std::string& given, bool force, bool prune_parents) {
  const ImagePtr image = state_.find(given);
  if (!image) return make_error(Code::not_found, "No such image: {}", given);
  if (!is_id_prefix(image->id, given)) {
    LAB_TRY(const bool last, remove_reference(given, image, force));
    if (!last) return {};
    return delete_image(image->id, force, prune_parents, true);
  }
  const std::vector<NameRecord> names = state_.names_of(image->id);
  if (is_single_reference(names)) {
    Mask mask;
    mask.stopped = !force;
    if (auto found = conflict(image->id, mask)) return conflict_error(image->id, *found);
    for (const NameRecord& name : names) LAB_CHECK(untag(name.reference, image->id, true));
  }
  return delete_image(image->id, force, prune_parents, false);
}

Result<void> Removal::delete_image(const std::string& image_id, bool force, bool prune,
                                   bool quiet) {
  Mask mask;
  mask.references = mask.stopped = !force;
  if (auto found = conflict(image_id, mask)) {
    const bool dangling = state_.names_of(image_id).empty() && state_.children_of(image_id).empty();
    if (quiet && (!dangling || found->used)) return {};
    return conflict_error(image_id, *found);
  }
  for (const NameRecord& name : state_.names_of(image_id)) {
    LAB_CHECK(untag(name.reference, image_id, true));
  }
  LAB_CHECK(state_.database->run("DELETE FROM images WHERE id = ?", image_id));
  LAB_CHECK(state_.database->run("DELETE FROM manifests WHERE image_id = ?", image_id));
  const ImagePtr image = state_.images.at(image_id);
  state_.images.erase(image_id);
  items.push_back({true, image_id});
  events.push_back({"delete", image_id, image_id});
  report_layers(image->diff_ids);
  if (!prune || !state_.images.contains(image->parent)) return {};
  return delete_image(image->parent, false, true, true);
}

// Docker names the layers that went by their chain ids, topmost first.
void Removal::report_layers(const std::vector<std::string>& diff_ids) {
  std::size_t kept = 0;
  const auto keep_common_part = [&](const std::vector<std::string>& other) {
    const auto end = std::mismatch(diff_ids.begin(), diff_ids.end(), other.begin(), other.end());
    kept = std::max(kept, static_cast<std::size_t>(end.first - diff_ids.begin()));
  };
  for (const auto& [id, image] : state_.images) keep_common_part(image->diff_ids);
  for (const auto& [holder, held] : state_.holds) keep_common_part(held);
  const std::vector<std::string> chain = chain_ids(diff_ids);
  for (std::size_t i = chain.size(); i > kept; --i) items.push_back({true, chain[i - 1]});
}

}  // namespace

Result<std::vector<RemovedItem>> ImageStore::remove(const std::string& name_or_id, bool force,
                                                    bool prune_parents) {
  // Asked before the lock is taken: the containers' side may be asking us for an image meanwhile.
  std::map<std::string, std::vector<ImageUser>> users;
  LAB_TRY(const ImagePtr image, resolve(name_or_id));
  for (ImagePtr at = image; at && impl_->users != nullptr;) {
    users[at->id] = impl_->users->users_of_image(at->id);
    const auto parent = by_id(at->parent);
    at = parent.has_value() ? *parent : nullptr;
  }
  std::vector<fs::path> garbage;
  std::vector<RemovedItem> items;
  std::vector<ImageEvent> events;
  {
    const std::scoped_lock lock(impl_->mutex);
    LAB_TRY(Transaction transaction, Transaction::begin(*impl_->database));
    Removal removal(*impl_, users);
    if (auto done = removal.run(name_or_id, force, prune_parents); done.has_error()) {
      // Refused before anything changed, or the database failed: memory follows the database.
      if (!removal.items.empty()) LAB_CHECK(transaction.commit());
      return std::move(done).error();
    }
    LAB_CHECK(transaction.commit());
    items = std::move(removal.items);
    events = std::move(removal.events);
    LAB_TRY(Impl::Garbage unused, impl_->forget_unused_layers());
    garbage = std::move(unused.paths);
  }
  for (ImageEvent& event : events) emit(std::move(event));
  LAB_CHECK(remove_files(garbage));
  return items;
}

std::set<std::string> ImageStore::Impl::layers_needed() const {
  std::set<std::string> needed;
  for (const auto& [id, image] : images) {
    needed.insert(image->diff_ids.begin(), image->diff_ids.end());
  }
  for (const auto& [holder, diff_ids] : holds) needed.insert(diff_ids.begin(), diff_ids.end());
  return needed;
}

Result<ImageStore::Impl::Garbage> ImageStore::Impl::forget_unused_layers() {
  Garbage garbage;
  if (guards > 0) return garbage;
  const std::set<std::string> needed = layers_needed();
  std::vector<std::string> unused;
  for (const auto& [diff_id, record] : layers) {
    if (!needed.contains(diff_id)) unused.push_back(diff_id);
  }
  if (unused.empty()) return garbage;
  LAB_TRY(Transaction transaction, Transaction::begin(*database));
  for (const std::string& diff_id : unused) {
    LAB_CHECK(database->run("DELETE FROM layer_blobs WHERE diff_id = ?", diff_id));
    LAB_CHECK(database->run("DELETE FROM layers WHERE diff_id = ?", diff_id));
  }
  LAB_CHECK(transaction.commit());
  for (const std::string& diff_id : unused) {
    const LayerRecord& record = layers.at(diff_id);
    garbage.paths.push_back(layer_path(record.number));
    garbage.bytes += record.size_bytes;
    for (const LayerBlob& blob : record.blobs) {
      // Moved aside under the lock: the same blob may come again before the files are gone.
      const fs::path aside = root / "tmp" / fmt::format("gone-{}", digest_hex(blob.digest));
      std::error_code failure;
      fs::rename(blob_path(blob.digest), aside, failure);
      garbage.paths.push_back(aside);
    }
    layers.erase(diff_id);
  }
  return garbage;
}

Result<std::uint64_t> ImageStore::collect() {
  Impl::Garbage garbage;
  {
    const std::scoped_lock lock(impl_->mutex);
    LAB_TRY(garbage, impl_->forget_unused_layers());
  }
  LAB_CHECK(remove_files(garbage.paths));
  return garbage.bytes;
}

Result<void> ImageStore::release(const std::string& holder) {
  {
    const std::scoped_lock lock(impl_->mutex);
    LAB_CHECK(impl_->without_sync(
        [&] { return impl_->database->run("DELETE FROM holds WHERE holder = ?", holder); }));
    impl_->holds.erase(holder);
  }
  LAB_CHECK(collect());
  return {};
}

Result<void> ImageStore::retain_holders(const std::set<std::string>& holders) {
  std::vector<std::string> gone;
  {
    const std::scoped_lock lock(impl_->mutex);
    for (const auto& [holder, diff_ids] : impl_->holds) {
      if (!holders.contains(holder) && !holder.starts_with(kept_prefix)) gone.push_back(holder);
    }
  }
  for (const std::string& holder : gone) LAB_CHECK(release(holder));
  return {};
}

}  // namespace lab::engine::image
