// The images of one engine: their configurations, names and unpacked layers. Everything lies below
// DATA_ROOT/image: blobs (compressed layers, configurations, manifests, by digest), layers (one
// overlay folder each, with a short number for a name, because the kernel limits the length of
// overlay's options) and images.db (SQLite), which alone says what exists; whatever a crash left
// beside it is removed at the next start.
//
// Thread-safe. Calls read memory or do a short transaction; only remove() and open() touch many
// files, so call those through run_blocking().
#pragma once

#include <boost/json/object.hpp>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hpp"
#include "base/error.hpp"
#include "engine/image/reference.hpp"

namespace lab::engine::image {

// A snapshot: it does not change when the store does.
struct Image {
  std::string id;              // "sha256:...": the digest of config_text
  std::string config_text;     // exactly as distributed
  boost::json::object config;  // config_text parsed: architecture, config, rootfs, history...
  std::vector<std::string> diff_ids;  // "sha256:...", lowest layer first
  std::string created;                // RFC 3339, from the configuration
  std::string parent;                 // id of the image this one was built on here, or empty
  std::uint64_t size_bytes = 0;       // of all unpacked layers
  std::vector<std::string> tags;      // "busybox:latest" (familiar), sorted
  std::vector<std::string> digests;   // "busybox@sha256:...", sorted
  std::string last_tagged;            // RFC 3339: when tag() last named it; empty if never

  // config["config"]: Cmd, Entrypoint, Env, User, WorkingDir, ...; empty if there is none.
  [[nodiscard]] const boost::json::object& run_config() const;
};
using ImagePtr = std::shared_ptr<const Image>;

// The layers that an image's configuration names, lowest first.
[[nodiscard]] Result<std::vector<std::string>> diff_ids_of_config(const std::string& config_text);

// "sha256:..." of each stack of layers from the lowest up, as OCI's image specification defines
// it; Docker shows layers by these.
[[nodiscard]] std::vector<std::string> chain_ids(const std::vector<std::string>& diff_ids);

// What /events tells about images. action: "pull", "push", "tag", "untag", "delete", "load", ...
struct ImageEvent {
  std::string action;
  std::string actor_id;  // the image's id, or the reference for pull and push
  std::string name;      // attribute "name"
};

// A container that was made from an image.
struct ImageUser {
  std::string container_id;
  bool running = false;
};

// Who uses an image. The containers' side implements it; called from any thread, with the store's
// lock not held.
class ImageUsers {
 public:
  virtual ~ImageUsers() = default;
  [[nodiscard]] virtual std::vector<ImageUser> users_of_image(
      const std::string& image_id) const = 0;
};

// One line of the answer to `docker rmi`.
struct RemovedItem {
  bool deleted = false;  // else: untagged
  std::string name;      // the reference, or the id of an image or layer
};

struct StoreOptions {
  std::filesystem::path data_root;  // "/var/lib/engined"
};

class ImageStore {
 public:
  // Creates what is missing, and removes what an interrupted pull or removal left.
  [[nodiscard]] static Result<std::unique_ptr<ImageStore>> open(StoreOptions options,
                                                                const Clock& clock);
  ~ImageStore();

  // Both may be set once after open(), before requests are served. The sink is called on whatever
  // thread the change was made.
  void set_users(const ImageUsers* users);
  void set_event_sink(std::function<void(ImageEvent)> sink);
  void emit(ImageEvent event) const;

  // By "name", "name:tag", "name@digest", full or short id, with or without "sha256:".
  // Code::not_found "No such image: busybox:latest".
  [[nodiscard]] Result<ImagePtr> resolve(std::string_view name_or_id) const;
  [[nodiscard]] Result<ImagePtr> by_id(const std::string& id) const;
  // By id.
  [[nodiscard]] std::vector<ImagePtr> list() const;

  // The folders of an overlay mount's lowerdir, topmost first. All in one file system.
  [[nodiscard]] Result<std::vector<std::filesystem::path>> lower_directories(
      const Image& image) const;

  // Holds: a container keeps the layers below it even when its image is removed by force. hold()
  // replaces an earlier hold of the same holder; `durable` as in DocumentStore::put().
  [[nodiscard]] Result<void> hold(const std::string& holder, const Image& image,
                                  bool durable = true);
  // Of a holder that is gone for good: retain_holders() does it again if the power fails.
  [[nodiscard]] Result<void> release(const std::string& holder);
  // Holds layers for good, although no image needs them yet: a pull finds them there. Durable.
  [[nodiscard]] Result<void> keep(const std::vector<std::string>& diff_ids);
  // At start: releases every holder that is not in `holders` and removes layers nobody needs.
  [[nodiscard]] Result<void> retain_holders(const std::set<std::string>& holders);
  // As lower_directories(), of what `holder` holds: works when the image is gone.
  [[nodiscard]] Result<std::vector<std::filesystem::path>> held_lower_directories(
      const std::string& holder) const;

  struct NamedImage {
    Reference reference;
    std::string image_id;
  };
  // Every name (tag or digest) of an image, ordered by Reference::canonical().
  [[nodiscard]] std::vector<NamedImage> references() const;
  // Ids of the images that were built on this one.
  [[nodiscard]] std::vector<std::string> children_of(const std::string& image_id) const;

  // Gives the image this name; the name leaves the image that had it.
  [[nodiscard]] Result<void> tag(const std::string& image_id, const Reference& reference);
  // Removes a name, or an image with all that only it needs. `name_or_id` as given by the user: a
  // reference removes that name first. Conflicts are Code::conflict with Docker's texts.
  [[nodiscard]] Result<std::vector<RemovedItem>> remove(const std::string& name_or_id, bool force,
                                                        bool prune_parents);

  // --- what pull, load, commit and build use ---

  // Compressed layers by digest. What an image came with is kept, so that a push or save gives the
  // same bytes again.
  [[nodiscard]] std::filesystem::path blob_path(std::string_view digest) const;
  [[nodiscard]] bool has_blob(std::string_view digest) const;
  [[nodiscard]] bool has_layer(std::string_view diff_id) const;
  [[nodiscard]] std::filesystem::path temporary_directory() const;

  // A layer unpacked in `directory`, verified by the caller: moves it into place. If the layer is
  // there already, `directory` is removed. `blob_file`, if not empty, is its compressed form, of
  // that digest, and is moved too. Both lie below temporary_directory().
  struct NewLayer {
    std::string diff_id;
    std::filesystem::path directory;
    std::uint64_t size_bytes = 0;
    std::string blob;
    std::filesystem::path blob_file;
    std::string media_type;
  };
  [[nodiscard]] Result<void> add_layer(const NewLayer& layer);

  struct LayerBlob {
    std::string digest;
    std::string media_type;
    std::uint64_t size_bytes = 0;
  };
  [[nodiscard]] std::vector<LayerBlob> layer_blobs(std::string_view diff_id) const;
  // The diff id of the layer with this compressed form, or empty.
  [[nodiscard]] std::string layer_of_blob(std::string_view digest) const;
  [[nodiscard]] std::uint64_t layer_size_bytes(std::string_view diff_id) const;
  // The folder of one unpacked layer.
  [[nodiscard]] Result<std::filesystem::path> layer_directory(std::string_view diff_id) const;

  // Keeps layers and blobs from being collected until the object ends: a pull under way.
  class Guard {
   public:
    explicit Guard(ImageStore& store);
    Guard(const Guard&) = delete;
    Guard& operator=(const Guard&) = delete;
    ~Guard();

   private:
    ImageStore& store_;
  };

  struct NewImage {
    std::string config_text;
    std::vector<Reference> references;  // tags and digests that now name it
    std::string manifest;               // its exact text, or empty
    std::string manifest_media_type;
    std::string parent;
  };
  // All layers named in the configuration must be there. Durable on return.
  [[nodiscard]] Result<ImagePtr> add_image(const NewImage& image);

  // After a push: the image is now known by this digest, under which the registry has `manifest`.
  [[nodiscard]] Result<void> add_pushed(const std::string& image_id, const Reference& by_digest,
                                        const std::string& manifest, const std::string& media_type);

  // The manifests that the image was pulled or pushed with, exactly as they were.
  struct StoredManifest {
    std::string digest;
    std::string media_type;
    std::string text;
  };
  [[nodiscard]] Result<std::vector<StoredManifest>> manifests_of(const std::string& image_id) const;

  // Removes layers and blobs that no image, holder or guard needs; gives the bytes freed.
  [[nodiscard]] Result<std::uint64_t> collect();

  struct Impl;

 private:
  explicit ImageStore(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace lab::engine::image
