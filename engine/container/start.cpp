#include <sys/stat.h>

#include <boost/json/serialize.hpp>
#include <cerrno>

#include "base/blocking.hpp"
#include "base/file.hpp"
#include "base/log.hpp"
#include "engine/container/attach.hpp"
#include "engine/container/containers.hpp"
#include "engine/container/health_check.hpp"
#include "engine/container/init_program.hpp"
#include "engine/container/links.hpp"
#include "engine/container/mount_parent.hpp"
#include "engine/container/runtime_errors.hpp"
#include "engine/network/networks.hpp"
#include "engine/util/json.hpp"

namespace lab::engine::container {

namespace asio = boost::asio;
namespace json = boost::json;

namespace {

Result<void> make_bind_source(const MountPoint& mount) {
  struct stat info {};
  if (mount.type != "bind" || stat(mount.source.c_str(), &info) == 0) return {};
  if (mount.make_source) return make_directories(mount.source);
  return make_error(Code::invalid_argument,
                    "invalid mount config for type \"bind\": bind source path does not exist: {}",
                    mount.source);
}

// Made here and not by the runtime, so that it is an ordinary folder: it is a part of the image
// that a commit makes. What cannot be made (a file in the way) is the runtime's to explain.
void make_mount_point(const std::filesystem::path& root, const MountPoint& mount) {
  struct stat info {};
  const bool is_folder =
      mount.type != "bind" || (stat(mount.source.c_str(), &info) == 0 && S_ISDIR(info.st_mode));
  for (const char* mounted : {"/proc", "/dev", "/sys"}) {
    if (mount.destination.starts_with(mounted)) return;
  }
  if (is_folder) static_cast<void>(folder_in_root(root, mount.destination, true));
}

// A mount can be shared with, or follow, only what is itself shared.
Result<void> check_propagation(const MountPoint& mount) {
  bool shared = mount.propagation == "shared" || mount.propagation == "rshared";
  bool slave = mount.propagation == "slave" || mount.propagation == "rslave";
  if (mount.type != "bind" || (!shared && !slave)) return {};
  LAB_TRY(MountParent parent, mount_of(mount.source));
  if (parent.shared || (slave && parent.slave)) return {};
  return make_error(Code::internal, "path {} is mounted on {} but it is not a shared{} mount.",
                    mount.source, parent.point, slave ? " or slave" : "");
}

}  // namespace

Result<SpecPaths> Containers::spec_paths(const Container& container) const {
  SpecPaths paths;
  paths.link_environment = link_environment(*this, container);
  paths.rootfs = rootfs(container.id).merged;
  std::filesystem::path files = folder(container.id);
  if (container.sandbox) paths.network = container.sandbox->key;
  if (container.joins_network()) {
    LAB_TRY(ContainerPtr other, find(container.network_mode().substr(10)));
    paths.network = fmt::format("/proc/{}/ns/net", other->state.process.pid);
    files = folder(other->id);
  }
  if (flag_of(container.host_config, "Init")) {
    paths.init = services_.runtime.bundle(container.id) / "docker-init";
    LAB_CHECK(write_file(paths.init, init_program(), 0755));
  }
  paths.hostname = files / "hostname";
  paths.hosts = files / "hosts";
  paths.resolv_conf = files / "resolv.conf";
  for (const auto& [key, type, target] : {std::tuple{"PidMode", "pid", &paths.shared_pid},
                                          std::tuple{"IpcMode", "ipc", &paths.shared_ipc}}) {
    std::string mode = text_of(container.host_config, key);
    if (!mode.starts_with("container:")) continue;
    LAB_TRY(ContainerPtr other, find(mode.substr(10)));
    const std::string joining = type == std::string_view("ipc")
                                    ? fmt::format("can't join IPC of container {}: ", other->id)
                                    : std::string();
    if (!other->state.running) {
      return make_error(Code::conflict, "{}container {} is not running", joining, other->id);
    }
    if (!joining.empty() && text_of(other->host_config, "IpcMode") == "private") {
      return make_error(Code::internal,
                        "{}non-shareable IPC (hint: use IpcMode:shareable for the donor container)",
                        joining);
    }
    *target = fmt::format("/proc/{}/ns/{}", other->state.process.pid, type);
  }
  return paths;
}

// Blocks.
Result<void> Containers::acquire_volumes(const Container& container) const {
  for (const MountPoint& mount : container.mounts) {
    if (mount.type != "volume") continue;
    volume::MountOptions options = services_.volumes.mount_options(mount.name);
    if (options.type.empty()) continue;
    LAB_CHECK(services_.volumes.mounts().acquire(mount.source, options, container.id));
  }
  return {};
}

void Containers::release_volumes(const Container& container) const {
  for (const MountPoint& mount : container.mounts) {
    if (mount.type != "volume") continue;
    if (Result<void> done = services_.volumes.mounts().release(mount.source, container.id); !done)
      log::warning("{}", done.error().message);
  }
}

// Blocks. What a failure leaves is for clean_up().
Result<Containers::Built> Containers::launch(const Container& container) const {
  Built built;
  RootfsPaths paths = rootfs(container.id);
  LAB_TRY(auto layers, lowers(container.id));
  LAB_CHECK(mount_rootfs(paths, layers));
  LAB_TRY(User user, resolve_user(paths.merged, text_of(container.config, "User"),
                                  texts_of(container.host_config, "GroupAdd")));
  if (std::string own = text_of(container.config, "WorkingDir"); !own.empty())
    LAB_CHECK(make_working_directory(paths.merged, own));
  for (const MountPoint& mount : container.mounts) {
    LAB_CHECK(make_bind_source(mount));
    make_mount_point(paths.merged, mount);
    LAB_CHECK(check_propagation(mount));
  }
  LAB_CHECK(acquire_volumes(container));
  if (!container.joins_network()) LAB_CHECK(write_network_files(container));
  if (container.sandbox) {
    LAB_TRY(built.name_sockets, services_.networks.build(*container.sandbox));
  }
  auto plug_in = [&] {
    return container.sandbox ? services_.networks.plug_in(*container.sandbox) : Result<void>();
  };
  // The runtime sets these in the namespace, and they may be an interface's.
  const bool has_sysctls = !object_of(container.host_config, "Sysctls").empty();
  if (has_sysctls) LAB_CHECK(plug_in());
  std::filesystem::path bundle = services_.runtime.bundle(container.id);
  LAB_CHECK(make_directories(bundle, 0700));
  LAB_TRY(SpecPaths spec_files, spec_paths(container));
  LAB_TRY(json::object spec, make_spec(container, spec_files, user, host_));
  seccomp_filters_.add_to(spec);
  LAB_CHECK(write_file(bundle / "config.json", json::serialize(spec), 0600));
  Runtime::Launch launch;
  launch.id = container.id;
  launch.log_path = log_path(container.id);
  launch.terminal = container.has_terminal();
  launch.standard_input = flag_of(container.config, "OpenStdin");
  launch.keep_standard_input =
      launch.standard_input && (launch.terminal || !flag_of(container.config, "StdinOnce"));
  launch.keep_log = text_of(object_of(container.host_config, "LogConfig"), "Type") != "none";
  if (built.name_sockets.udp)
    launch.kept_open = {built.name_sockets.udp.get(), built.name_sockets.tcp.get()};
  LAB_TRY(built.launched, services_.runtime.create(
                              launch, [&] { return has_sysctls ? Result<void>() : plug_in(); }));
  seccomp_filters_.learn(spec, services_.runtime.filter_file(container.id));
  return built;
}

asio::awaitable<void> Containers::fail_start(ContainerPtr container, Error& error) {
  log::debug("container {}: {}", container->id.substr(0, 12), error.message);
  StartFailure failure = explain_start_failure(error, container->path);
  error = failure.error;
  container->state.running = false;
  container->state.process = {};
  container->state.monitor = {};
  container->state.exit_code = failure.exit_code;
  container->state.error = error.message;
  co_await clean_up(container);
  for (const auto& waiting : std::exchange(container->waiting_sessions, {})) {
    if (auto session = waiting.lock()) session->abandon();
  }
  saved_or_logged(*container);
  container->starting = false;
  ++container->exits;
  container->changed.notify_all();
  if (flag_of(container->host_config, "AutoRemove")) {
    RemoveOptions options{true, true};
    background_.spawn(
        "removing a container that did not start",
        [](Containers& self, ContainerPtr gone, RemoveOptions how) -> asio::awaitable<void> {
          static_cast<void>(co_await self.remove(std::move(gone), how));
        }(*this, container, options));
  }
}

asio::awaitable<Result<void>> Containers::run_started(ContainerPtr container,
                                                      Runtime::Launched launched) {
  State& state = container->state;
  state.process = launched.process;
  state.monitor = launched.monitor;
  state.running = true;
  state.paused = false;
  state.restarting = false;
  state.oom_killed = false;
  state.exit_code = 0;
  state.error.clear();
  state.health = initial_health(container->config);
  state.started_at = format_rfc3339(services_.clock.wall_now());
  // Written before the first instruction runs: a crash of ours from here on loses nothing. Nor does
  // the machine's, after which policies start containers again; one with --rm would not come back.
  LAB_CO_CHECK(save(*container, !flag_of(container->host_config, "AutoRemove")));
  std::filesystem::path bundle = services_.runtime.bundle(container->id);
  for (const auto& waiting : std::exchange(container->waiting_sessions, {})) {
    auto session = waiting.lock();
    if (!session) continue;
    Result<Fd> socket = connect_attach_socket(bundle);
    if (!socket) co_return std::move(socket).error();
    session->connected(std::move(*socket));
  }
  co_return co_await run_blocking<Result<void>>(
      [this, &container] { return services_.runtime.start(container->id); });
}

asio::awaitable<Result<void>> Containers::start_locked(ContainerPtr container) {
  State& state = container->state;
  if (container->removed)
    co_return make_error(Code::not_found, "No such container: {}", container->id);
  if (state.running && state.paused) {
    co_return make_error(Code::conflict, "cannot start a paused container, try unpause instead");
  }
  if (state.running) co_return make_error(Code::not_modified, "{}", "");
  if (state.removing || state.dead) {
    co_return make_error(Code::conflict, "container is marked for removal and cannot be started");
  }
  while (container->cleaning) co_await container->changed.wait();
  container->starting = true;
  Result<void> started = reserve_network(*container);
  if (started) {
    Result<Built> built =
        co_await run_blocking<Result<Built>>([this, &container] { return launch(*container); });
    if (built) {
      if (container->sandbox)
        services_.networks.serve(*container->sandbox, std::move(built->name_sockets));
      started = co_await run_started(container, built->launched);
    } else {
      started = std::move(built).error();
    }
  }
  if (!started) {
    Error error = std::move(started).error();
    co_await fail_start(container, error);
    co_return error;
  }
  {
    std::scoped_lock lock(image_users_mutex_);
    image_users_[container->id].second = true;
  }
  container->starting = false;
  if (container->sandbox) {
    for (const network::Endpoint& endpoint : container->sandbox->endpoints)
      emit_network(*container, endpoint, "connect");
  }
  emit(*container, "start");
  container->changed.notify_all();
  background_.spawn("watching a container", watch(container));
  on_running_(container);
  co_return Result<void>();
}

asio::awaitable<Result<void>> Containers::start(ContainerPtr container) {
  AsyncMutex::Lock lock = co_await container->operation.lock();
  container->stopped_by_user = false;
  container->restart_delay = {};
  container->restart_count = 0;
  co_return co_await start_locked(container);
}

}  // namespace lab::engine::container
