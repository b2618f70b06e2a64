#include <sys/stat.h>
#include <unistd.h>

#include <climits>

#include "base/blocking.hpp"
#include "base/file.hpp"
#include "base/log.hpp"
#include "engine/container/config.hpp"
#include "engine/container/containers.hpp"
#include "engine/container/limits.hpp"
#include "engine/container/names.hpp"
#include "engine/container/network_rules.hpp"
#include "engine/util/json.hpp"

namespace lab::engine::container {

namespace asio = boost::asio;
namespace json = boost::json;

namespace {

constexpr int random_names_max = 20;

std::string host_name() {
  char name[HOST_NAME_MAX + 1] = {};
  gethostname(name, sizeof name - 1);
  return name;
}

Result<void> check_bind_source(const MountPoint& mount) {
  struct stat info {};
  if (mount.type != "bind" || mount.make_source || stat(mount.source.c_str(), &info) == 0)
    return {};
  return make_error(Code::invalid_argument,
                    "invalid mount config for type \"bind\": bind source path does not exist: {}",
                    mount.source);
}

// Clients name runc, of which crun does the work.
bool is_runtime(std::string_view name) {
  return name == "crun" || name == "runc" || name == "io.containerd.runc.v2";
}

json::value object_or_null(const json::object& object) {
  return object.empty() ? json::value(nullptr) : json::value(object);
}

}  // namespace

Result<std::string> Containers::claim_name(const std::string& wanted, const std::string& id) {
  if (wanted.empty()) {
    for (int attempt = 0; attempt < random_names_max; ++attempt) {
      std::string name = random_name(random_, attempt);
      if (names_.emplace(name, id).second) return name;
    }
    std::string name = id.substr(0, 12);
    names_[name] = id;
    return name;
  }
  std::string name = wanted.starts_with('/') ? wanted.substr(1) : wanted;
  if (!is_valid_name(name)) {
    return make_error(Code::invalid_argument,
                      "Invalid container name ({}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed",
                      wanted);
  }
  auto [at, added] = names_.emplace(name, id);
  if (!added) {
    return make_error(Code::conflict,
                      "Conflict. The container name \"/{}\" is already in use by container "
                      "\"{}\". You have to remove (or rename) that container to be able to reuse "
                      "that name.",
                      name, at->second);
  }
  return name;
}

Result<void> Containers::resolve_volumes_from(Container& container) const {
  for (const std::string& spec : texts_of(container.host_config, "VolumesFrom")) {
    std::size_t colon = spec.find(':');
    std::string name = spec.substr(0, colon);
    LAB_TRY(bool read_only,
            volumes_from_read_only(colon == std::string::npos ? "" : spec.substr(colon + 1)));
    Result<ContainerPtr> other = find(name);
    if (!other) return Error{Code::invalid_argument, other.error().message};
    for (MountPoint mount : (*other)->mounts) {
      if (mount.type == "tmpfs") continue;
      auto there = std::find_if(
          container.mounts.begin(), container.mounts.end(),
          [&mount](const MountPoint& own) { return own.destination == mount.destination; });
      // A volume that the image or `-v PLACE` wants is the other container's.
      if (there != container.mounts.end() && there->from_config) {
        container.mounts.erase(there);
      } else if (there != container.mounts.end()) {
        continue;
      }
      mount.mode.clear();
      if (read_only) mount.writable = false;
      container.mounts.push_back(std::move(mount));
    }
  }
  return {};
}

Result<void> Containers::resolve_mounts(Container& container) const {
  LAB_TRY(container.mounts, requested_mounts(container.config, container.host_config));
  for (const MountPoint& mount : container.mounts) LAB_CHECK(check_bind_source(mount));
  LAB_CHECK(resolve_volumes_from(container));
  for (MountPoint& mount : container.mounts) {
    if (mount.type != "volume") continue;
    bool fresh = mount.name.empty() || services_.volumes.find(mount.name) == nullptr;
    LAB_TRY(const volume::Volume* volume,
            services_.volumes.create(mount.name, object_or_null(mount.volume_labels),
                                     object_or_null(mount.volume_options), mount.anonymous,
                                     mount.volume_driver));
    mount.name = volume->name;
    mount.source = services_.volumes.folder(volume->name).string();
    if (fresh) services_.events.emit("volume", "create", volume->name, {{"driver", "local"}});
  }
  return {};
}

// A volume that is a mount has to be mounted to be filled.
Result<void> Containers::populate(const Container& container, const MountPoint& mount,
                                  const std::filesystem::path& from) const {
  volume::MountOptions options = services_.volumes.mount_options(mount.name);
  if (options.type.empty()) return volume::populate(from, mount.source);
  LAB_CHECK(services_.volumes.mounts().acquire(mount.source, options, container.id));
  Result<void> done = volume::populate(from, mount.source);
  Result<void> released = services_.volumes.mounts().release(mount.source, container.id);
  if (!released) log::warning("{}", released.error().message);
  return done;
}

// Blocks: fills new volumes with what the image has at their place.
Result<void> Containers::materialize(const Container& container) const {
  LAB_CHECK(make_directories(folder(container.id), 0710));
  RootfsPaths paths = rootfs(container.id);
  const std::string own_folder = text_of(container.config, "WorkingDir");
  bool fills = std::any_of(
      container.mounts.begin(), container.mounts.end(),
      [](const MountPoint& mount) { return mount.type == "volume" && mount.copy_from_image; });
  if (!fills && (own_folder.empty() || own_folder == "/")) return {};
  LAB_TRY(auto layers, lowers(container.id));
  LAB_CHECK(mount_rootfs(paths, layers));
  Result<void> done;
  if (!own_folder.empty()) {
    done = make_working_directory(paths.merged, own_folder);
  }
  for (const MountPoint& mount : container.mounts) {
    if (!done) break;
    if (mount.type != "volume" || !mount.copy_from_image) continue;
    Result<std::filesystem::path> from = folder_in_root(paths.merged, mount.destination, false);
    if (!from && from.error().code != Code::not_found && mount.anonymous) {
      done = make_error(Code::internal, "cannot mount volume over existing file, file exists {}",
                        paths.merged.string() + mount.destination);
    }
    if (!from) continue;  // the image has nothing there
    done = populate(container, mount, *from);
    if (!done) break;
  }
  unmount_rootfs(paths);
  return done;
}

namespace {

// Whose namespaces it shares is known by its id from here on.
Result<void> resolve_shared_namespaces(const Containers& containers, json::object& host_config) {
  constexpr std::string_view prefix = "container:";
  for (const char* key : {"PidMode", "IpcMode"}) {
    const std::string mode = text_of(host_config, key);
    if (!mode.starts_with(prefix)) continue;
    Result<ContainerPtr> other = containers.find(mode.substr(prefix.size()));
    if (!other) return Error{Code::invalid_argument, other.error().message};
    host_config[key] = std::string(prefix) + (*other)->id;
  }
  return {};
}

}  // namespace

Result<void> Containers::prepare(Container& container, const image::Image& image) const {
  LAB_CHECK(merge_image_config(container.config, image.run_config()));
  LAB_CHECK(validate(container.config, container.host_config));
  if (std::string runtime = text_of(container.host_config, "Runtime"); !is_runtime(runtime)) {
    return make_error(Code::invalid_argument, "Unknown runtime specified {}", runtime);
  }
  LAB_CHECK(capabilities_of(container.host_config));
  LAB_CHECK(resolve_shared_namespaces(*this, container.host_config));
  if (text_of(container.host_config, "CgroupnsMode").empty())
    container.host_config["CgroupnsMode"] = host_.cgroup_v2 ? "private" : "host";
  if (text_of(container.config, "Hostname").empty())
    container.config["Hostname"] =
        container.network_mode() == "host" ? host_name() : container.id.substr(0, 12);
  std::vector<std::string> words = command_line(container.config);
  container.path = words.front();
  container.arguments.assign(words.begin() + 1, words.end());
  return resolve_mounts(container);
}

asio::awaitable<Result<CreateResult>> Containers::create(CreateRequest request) {
  auto container = std::make_shared<Container>(services_.executor);
  container->id = secure_random_hex(32);
  LAB_CO_TRY(container->config, complete_config(request.config));
  LAB_CO_TRY(container->host_config, complete_host_config(request.host_config));
  // Without an image: on no layers at all, as the first steps of a build from scratch are.
  auto image = std::make_shared<const image::Image>();
  if (std::string wanted = text_of(container->config, "Image"); !wanted.empty()) {
    LAB_CO_TRY(image, services_.images.resolve(wanted));
  }
  container->image_id = image->id;
  WallTime now = services_.clock.wall_now();
  container->created = format_rfc3339(now);
  container->created_seconds =
      std::chrono::duration_cast<std::chrono::seconds>(now.time_since_epoch()).count();
  LAB_CO_TRY(container->name, claim_name(request.name, container->id));
  container->name_generated = request.name.empty();
  Result<std::vector<std::string>> warnings =
      check_network_rules(container->config, container->host_config);
  Result<void> done;
  if (warnings) {
    Result<std::vector<std::string>> more = check_limits(container->host_config, false);
    if (more) warnings->insert(warnings->end(), more->begin(), more->end());
    if (!more) warnings = std::move(more);
  }
  if (!warnings) done = warnings.error();
  if (done) done = prepare(*container, *image);
  if (done) done = plan_networks(*container, request.networking_config);
  if (done) done = check_links(*container);
  // After a power failure one with --rm would be removed anyway.
  const bool durable = !flag_of(container->host_config, "AutoRemove");
  if (done) done = services_.images.hold(container->id, *image, durable);
  if (done) {
    done =
        co_await run_blocking<Result<void>>([this, &container] { return materialize(*container); });
  }
  if (done) done = save(*container, durable);
  if (!done) {
    names_.erase(container->name);
    static_cast<void>(services_.images.release(container->id));
    co_await run_on_pool([this, &container] {
      std::error_code ignored;
      static_cast<void>(remove_rootfs(rootfs(container->id)));
      std::filesystem::remove_all(folder(container->id), ignored);
    });
    co_return std::move(done).error();
  }
  {
    std::scoped_lock lock(image_users_mutex_);
    image_users_[container->id] = {container->image_id, false};
  }
  containers_[container->id] = container;
  emit(*container, "create");
  CreateResult result;
  result.id = container->id;
  result.warnings = std::move(*warnings);
  co_return result;
}

}  // namespace lab::engine::container
