#include "engine/build/step_image.hpp"

#include <fcntl.h>

#include <boost/json/serialize.hpp>
#include <cerrno>
#include <cstdio>

#include "base/file.hpp"
#include "base/random.hpp"
#include "engine/container/config.hpp"
#include "engine/layer/copy_tree.hpp"
#include "engine/layer/pack.hpp"
#include "engine/layer/unpack.hpp"
#include "engine/util/json.hpp"

namespace lab::engine::build {

namespace fs = std::filesystem;
namespace json = boost::json;

namespace {

Result<void> copy_layer(const fs::path& from, const fs::path& to) {
  LAB_CHECK(make_directories(to));
  Fd source(open(from.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  Fd target(open(to.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!source || !target) return errno_error(errno, fmt::format("opening {}", from.string()));
  layer::CopyOptions options;
  options.layers = true;
  return layer::copy_contents(source.get(), target.get(), options);
}

// The folder becomes a layer of the store; empty folders give an empty id.
Result<std::string> add_folder(image::ImageStore& store, const fs::path& folder) {
  LAB_TRY(const layer::LayerDigest digest, layer::digest_of_layer(folder));
  if (digest.packed.entries == 0) return std::string();
  image::ImageStore::NewLayer layer;
  layer.diff_id = digest.diff_id;
  layer.directory = folder;
  layer.size_bytes = digest.packed.size_bytes;
  LAB_CHECK(store.add_layer(layer));
  return digest.diff_id;
}

json::object history_entry(const ImageStep& step, const std::string& created) {
  json::object entry;
  entry["created"] = created;
  if (!step.author.empty()) entry["author"] = step.author;
  const std::vector<std::string> command = texts_of(step.container_config, "Cmd");
  if (!command.empty()) entry["created_by"] = fmt::format("{}", fmt::join(command, " "));
  if (!step.comment.empty()) entry["comment"] = step.comment;
  if (step.diff_id.empty()) entry["empty_layer"] = true;
  return entry;
}

void copy_members(json::object& to, const json::object& from,
                  std::initializer_list<std::string_view> keys) {
  for (std::string_view key : keys) {
    if (const json::value* value = from.if_contains(key)) to[key] = *value;
  }
}

json::object root_file_system(const std::vector<std::string>& diff_ids) {
  json::object root;
  root["type"] = "layers";
  if (!diff_ids.empty()) root["diff_ids"] = to_array(diff_ids);
  return root;
}

}  // namespace

LayerFolder::LayerFolder(const image::ImageStore& store)
    : path_(store.temporary_directory() / ("step-" + secure_random_hex(8))) {}

LayerFolder::~LayerFolder() { static_cast<void>(layer::remove_tree(path_)); }

std::string config_of_step(const ImageStep& step, WallTime now) {
  static const json::object none;
  const json::object& parent = step.parent ? step.parent->config : none;
  std::vector<std::string> diff_ids;
  if (step.parent) diff_ids = step.parent->diff_ids;
  if (!step.diff_id.empty()) diff_ids.push_back(step.diff_id);
  const std::string created = format_rfc3339(now);
  json::array history = array_of(parent, "history");
  history.push_back(history_entry(step, created));

  json::object config;  // the members in the order of their names
  config["architecture"] = "amd64";
  copy_members(config, parent, {"architecture"});
  if (!step.author.empty()) config["author"] = step.author;
  if (!step.comment.empty()) config["comment"] = step.comment;
  config["config"] = container::complete_image_config(step.config);
  if (!step.container_id.empty()) config["container"] = step.container_id;
  config["container_config"] = container::complete_image_config(step.container_config);
  config["created"] = created;
  config["docker_version"] = LAB_VERSION;
  config["history"] = std::move(history);
  config["os"] = "linux";
  copy_members(config, parent, {"os.features", "os.version"});
  config["rootfs"] = root_file_system(diff_ids);
  copy_members(config, parent, {"variant"});
  return json::serialize(config);
}

Result<image::ImagePtr> add_step(image::ImageStore& store, const ImageStep& step, WallTime now) {
  image::ImageStore::NewImage image;
  image.config_text = config_of_step(step, now);
  if (step.parent) image.parent = step.parent->id;
  return store.add_image(image);
}

Result<std::string> add_upper_layer(image::ImageStore& store, const fs::path& upper, Upper what) {
  std::error_code failure;
  if (!fs::exists(upper, failure)) return std::string();  // of a container that never started
  const LayerFolder folder(store);
  if (what == Upper::keep) {
    LAB_CHECK(copy_layer(upper, folder.path()));
  } else if (std::rename(upper.c_str(), folder.path().c_str()) != 0) {
    return errno_error(errno, fmt::format("moving {}", upper.string()));
  }
  return add_folder(store, folder.path());
}

Result<image::ImagePtr> squash(image::ImageStore& store, const image::ImagePtr& image,
                               const image::ImagePtr& base, WallTime now) {
  const std::size_t kept = base ? base->diff_ids.size() : 0;
  const LayerFolder folder(store);
  LAB_CHECK(make_directories(folder.path()));
  for (std::size_t i = kept; i < image->diff_ids.size(); ++i) {
    LAB_TRY(const fs::path layer, store.layer_directory(image->diff_ids[i]));
    LAB_CHECK(copy_layer(layer, folder.path()));
  }
  LAB_TRY(const std::string diff_id, add_folder(store, folder.path()));
  std::vector<std::string> diff_ids(image->diff_ids.begin(),
                                    image->diff_ids.begin() + static_cast<std::ptrdiff_t>(kept));
  if (!diff_id.empty()) diff_ids.push_back(diff_id);

  json::object config = image->config;
  json::array history = array_of(config, "history");
  const std::size_t inherited = base ? array_of(base->config, "history").size() : 0;
  for (std::size_t i = inherited; i < history.size(); ++i)
    history[i].as_object()["empty_layer"] = true;
  const std::string created = format_rfc3339(now);
  json::object merge;
  merge["created"] = created;
  merge["comment"] = base ? fmt::format("merge {} to {}", image->id, base->id)
                          : fmt::format("create new from {}", image->id);
  if (diff_id.empty()) merge["empty_layer"] = true;
  history.push_back(std::move(merge));
  config["created"] = created;
  config["history"] = std::move(history);
  config["rootfs"] = root_file_system(diff_ids);
  image::ImageStore::NewImage squashed;
  squashed.config_text = json::serialize(config);
  return store.add_image(squashed);
}

}  // namespace lab::engine::build
