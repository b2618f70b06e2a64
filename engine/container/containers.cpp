#include "engine/container/containers.hpp"

#include <boost/json/serialize.hpp>

#include "base/file.hpp"
#include "base/log.hpp"
#include "engine/network/networks.hpp"
#include "engine/util/json.hpp"

namespace lab::engine::container {

namespace json = boost::json;

namespace {

constexpr std::string_view kind = "container";

// What a crash between two steps of a removal or creation left behind.
void remove_orphans(const std::filesystem::path& folder, const std::set<std::string>& known) {
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(folder, ignored)) {
    std::string name = entry.path().filename().string();
    if (name.size() != 64 || known.contains(name)) continue;
    log::info("removing {}: its container is gone", entry.path().string());
    unmount_rootfs(RootfsPaths{{}, {}, entry.path() / "merged"});
    std::filesystem::remove_all(entry.path(), ignored);
  }
}

// Runs of containers that were removed while what they left on the host was being taken away.
void remove_runs(const Runtime& runtime, const std::set<std::string>& known) {
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(runtime.bundle({}), ignored)) {
    std::string id = entry.path().filename().string();
    if (known.contains(id)) continue;
    runtime.settle(id);
    runtime.remove(id);
  }
}

}  // namespace

Containers::Containers(Services services)
    : services_(std::move(services)),
      host_(detect_host_features()),
      background_(services_.executor),
      random_(secure_random_seed()) {}

Result<void> Containers::load() {
  LAB_CHECK(make_directories(services_.data_root / "containers", 0710));
  LAB_CHECK(make_directories(services_.data_root / "overlay", 0710));
  LAB_CHECK(make_base_layer(services_.data_root));
  LAB_CHECK(services_.runtime.prepare_folders());
  LAB_TRY(auto documents, services_.store.all(kind));
  std::set<std::string> known;
  for (auto& [id, text] : documents) {
    LAB_TRY(json::object document, parse_object(text));
    LAB_TRY(ContainerPtr container, container_from_document(document, services_.executor));
    image_users_[id] = {container->image_id, container->state.running};
    names_[container->name] = id;
    known.insert(id);
    containers_[id] = std::move(container);
  }
  remove_runs(services_.runtime, known);
  remove_orphans(services_.data_root / "overlay", known);
  remove_orphans(services_.data_root / "containers", known);
  remove_orphans(services_.runtime.exit_folder(), known);
  return services_.images.retain_holders(known);
}

std::vector<network::LiveSandbox> Containers::live_sandboxes() const {
  std::vector<network::LiveSandbox> live;
  for (const auto& [id, container] : containers_) {
    bool runs = container->state.running && container->state.monitor.alive();
    if (runs && container->sandbox)
      live.push_back({&*container->sandbox, container->state.monitor.pid});
  }
  return live;
}

Result<ContainerPtr> Containers::find(std::string_view name_or_id) const {
  if (name_or_id.empty())
    return make_error(Code::invalid_argument, "invalid name or ID supplied: \"\"");
  if (auto exact = containers_.find(std::string(name_or_id)); exact != containers_.end())
    return exact->second;
  std::string_view name = name_or_id;
  if (name.starts_with('/')) name.remove_prefix(1);
  if (auto named = names_.find(name); named != names_.end()) {
    auto found = containers_.find(named->second);
    if (found != containers_.end()) return found->second;
  }
  ContainerPtr match;
  for (auto at = containers_.lower_bound(std::string(name_or_id));
       !name_or_id.empty() && at != containers_.end() && at->first.starts_with(name_or_id); ++at) {
    if (match) {
      return make_error(Code::invalid_argument, "Multiple IDs found with provided prefix: {}",
                        name_or_id);
    }
    match = at->second;
  }
  if (match) return match;
  return make_error(Code::not_found, "No such container: {}", name_or_id);
}

std::vector<ContainerPtr> Containers::list() const {
  std::vector<ContainerPtr> all;
  for (const auto& [id, container] : containers_) all.push_back(container);
  std::stable_sort(all.begin(), all.end(), [](const ContainerPtr& a, const ContainerPtr& b) {
    return a->created > b->created;
  });
  return all;
}

std::vector<image::ImageUser> Containers::users_of_image(const std::string& image_id) const {
  std::scoped_lock lock(image_users_mutex_);
  std::vector<image::ImageUser> users;
  for (const auto& [id, use] : image_users_) {
    if (use.first == image_id) users.push_back(image::ImageUser{id, use.second});
  }
  return users;
}

std::vector<std::string> Containers::users_of_volume(const std::string& name) const {
  std::vector<std::string> users;
  for (const auto& [id, container] : containers_) {
    for (const MountPoint& mount : container->mounts) {
      if (mount.type == "volume" && mount.name == name) {
        users.push_back(id);
        break;
      }
    }
  }
  return users;
}

Result<void> Containers::rename(const ContainerPtr& container, std::string name) {
  if (name.starts_with('/')) name.erase(0, 1);
  if (name.empty())
    return make_error(Code::invalid_argument, "Neither old nor new names may be empty");
  if (name == container->name) {
    return make_error(Code::invalid_argument,
                      "Renaming a container with the same name as its current name");
  }
  Result<std::string> claimed = claim_name("/" + name, container->id);
  if (!claimed) return std::move(claimed).error().wrap("Error when allocating new name");
  std::string old = std::exchange(container->name, name);
  if (Result<void> saved = save(*container); !saved) {
    container->name = old;
    names_.erase(name);
    return saved;
  }
  names_.erase(old);
  container->name_generated = false;
  if (container->sandbox) services_.networks.rename(*container->sandbox, old, container->name);
  emit(*container, "rename", {{"oldName", "/" + old}});
  return {};
}

std::filesystem::path Containers::folder(const std::string& id) const {
  return services_.data_root / "containers" / id;
}

std::filesystem::path Containers::log_path(const std::string& id) const {
  return folder(id) / (id + "-json.log");
}

Result<std::vector<std::filesystem::path>> Containers::lowers(const std::string& id) const {
  LAB_TRY(auto folders, services_.images.held_lower_directories(id));
  folders.push_back(services_.data_root / "base");
  return folders;
}

RootfsPaths Containers::rootfs(const std::string& id) const {
  return rootfs_paths(services_.data_root, id);
}

void Containers::emit(const Container& container, std::string action, Attributes more) const {
  Attributes attributes = std::move(more);
  attributes.emplace_back("image", text_of(container.config, "Image"));
  attributes.emplace_back("name", container.name);
  for (const auto& label : object_of(container.config, "Labels")) {
    if (label.value().is_string())
      attributes.emplace_back(label.key(), std::string(label.value().get_string()));
  }
  services_.events.emit("container", std::move(action), container.id, std::move(attributes));
}

Result<void> Containers::save(const Container& container, bool durable) const {
  return services_.store.put(kind, container.id, json::serialize(container.to_document()), durable);
}

void Containers::saved_or_logged(const Container& container) const {
  if (Result<void> saved = save(container, false); !saved)
    log::error("container {}: {}", container.id.substr(0, 12), saved.error().message);
}

}  // namespace lab::engine::container
