#include <sys/stat.h>

#include <boost/json/serialize.hpp>
#include <cerrno>
#include <charconv>

#include "base/blocking.hpp"
#include "base/file.hpp"
#include "base/log.hpp"
#include "engine/container/attach.hpp"
#include "engine/container/containers.hpp"
#include "engine/container/name_files.hpp"
#include "engine/container/runtime_errors.hpp"
#include "engine/util/json.hpp"

namespace lab::engine::container {

namespace asio = boost::asio;
namespace json = boost::json;

namespace {

// "80/tcp" -> 80, "tcp".
std::pair<std::uint16_t, std::string> parse_port(std::string_view text) {
  std::uint16_t port = 0;
  std::from_chars(text.data(), text.data() + text.size(), port);
  std::size_t slash = text.find('/');
  std::string protocol(slash == std::string_view::npos ? "tcp" : text.substr(slash + 1));
  return {port, protocol};
}

Result<std::vector<network::PortRequest>> port_requests(const Container& container) {
  std::vector<network::PortRequest> requests;
  const json::object& bindings = object_of(container.host_config, "PortBindings");
  for (const auto& binding : bindings) {
    auto [port, protocol] = parse_port(binding.key());
    if (!binding.value().is_array() || port == 0) continue;
    for (const json::value& item : binding.value().get_array()) {
      if (!item.is_object()) continue;
      network::PortRequest request;
      request.protocol = protocol;
      request.container_port = port;
      request.host_address = text_of(item.get_object(), "HostIp");
      if (request.host_address == "0.0.0.0") request.host_address.clear();
      std::string wanted = text_of(item.get_object(), "HostPort");
      const char* end = wanted.data() + wanted.size();
      auto [at, failure] = std::from_chars(wanted.data(), end, request.host_port_first);
      request.host_port_last = request.host_port_first;
      if (failure == std::errc() && at != end && *at == '-')
        std::from_chars(at + 1, end, request.host_port_last);
      requests.push_back(std::move(request));
    }
  }
  if (!flag_of(container.host_config, "PublishAllPorts")) return requests;
  for (const auto& exposed : object_of(container.config, "ExposedPorts")) {
    if (bindings.contains(exposed.key())) continue;
    auto [port, protocol] = parse_port(exposed.key());
    network::PortRequest request;
    request.protocol = protocol;
    request.container_port = port;
    requests.push_back(std::move(request));
  }
  return requests;
}

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

bool is_joined(const Container& container) {
  return container.network_name.starts_with("container:");
}

}  // namespace

Result<void> Containers::reserve_network(Container& container) {
  if (is_joined(container)) {
    LAB_TRY(ContainerPtr other, find(container.network_name.substr(10)));
    if (!other->state.running) {
      return make_error(Code::conflict, "cannot join network of a non running container: {}",
                        other->id);
    }
    return {};
  }
  network::SandboxRequest request;
  request.container_name = container.name;
  request.network = container.network_name;
  LAB_TRY(request.ports, port_requests(container));
  LAB_TRY(container.sandbox, services_.networks.reserve(request));
  return {};
}

Result<void> Containers::write_network_files(const Container& container) const {
  NameFiles files;
  files.hostname = text_of(container.config, "Hostname");
  files.domain_name = text_of(container.config, "Domainname");
  files.extra_hosts = texts_of(container.host_config, "ExtraHosts");
  files.dns = texts_of(container.host_config, "Dns");
  files.dns_search = texts_of(container.host_config, "DnsSearch");
  files.dns_options = texts_of(container.host_config, "DnsOptions");
  files.host_network = container.network_name == "host";
  if (const network::Network* bridge = services_.networks.find("bridge"))
    files.host_gateway = network::format_ipv4(bridge->gateway);
  if (container.sandbox) {
    for (const network::Endpoint& endpoint : container.sandbox->endpoints) {
      if (endpoint.address != 0) files.addresses.push_back(network::format_ipv4(endpoint.address));
    }
  }
  return write_name_files(folder(container.id), files);
}

Result<SpecPaths> Containers::spec_paths(const Container& container) const {
  SpecPaths paths;
  paths.rootfs = rootfs(container.id).merged;
  std::filesystem::path files = folder(container.id);
  if (container.sandbox) paths.network = container.sandbox->key;
  if (is_joined(container)) {
    LAB_TRY(ContainerPtr other, find(container.network_name.substr(10)));
    paths.network = fmt::format("/proc/{}/ns/net", other->state.process.pid);
    files = folder(other->id);
  }
  paths.hostname = files / "hostname";
  paths.hosts = files / "hosts";
  paths.resolv_conf = files / "resolv.conf";
  for (const auto& [key, type, target] : {std::tuple{"PidMode", "pid", &paths.shared_pid},
                                          std::tuple{"IpcMode", "ipc", &paths.shared_ipc}}) {
    std::string mode = text_of(container.host_config, key);
    if (!mode.starts_with("container:")) continue;
    LAB_TRY(ContainerPtr other, find(mode.substr(10)));
    if (!other->state.running) {
      return make_error(Code::conflict, "cannot join {} of a non running container: {}",
                        type == std::string_view("pid") ? "PID" : "IPC", other->id);
    }
    *target = fmt::format("/proc/{}/ns/{}", other->state.process.pid, type);
  }
  return paths;
}

// Blocks. What a failure leaves is for clean_up().
Result<Runtime::Launched> Containers::launch(const Container& container) const {
  RootfsPaths paths = rootfs(container.id);
  LAB_TRY(auto layers, lowers(container.id));
  LAB_CHECK(mount_rootfs(paths, layers));
  LAB_TRY(User user, resolve_user(paths.merged, text_of(container.config, "User"),
                                  texts_of(container.host_config, "GroupAdd")));
  if (std::string own = text_of(container.config, "WorkingDir"); !own.empty())
    LAB_CHECK(folder_in_root(paths.merged, own, true));
  for (const MountPoint& mount : container.mounts) {
    LAB_CHECK(make_bind_source(mount));
    make_mount_point(paths.merged, mount);
  }
  if (!is_joined(container)) LAB_CHECK(write_network_files(container));
  if (container.sandbox) LAB_CHECK(services_.networks.build(*container.sandbox));
  LAB_TRY(SpecPaths spec_files, spec_paths(container));
  LAB_TRY(json::object spec, make_spec(container, spec_files, user, host_));
  std::filesystem::path bundle = services_.runtime.bundle(container.id);
  LAB_CHECK(make_directories(bundle, 0700));
  LAB_CHECK(write_file(bundle / "config.json", json::serialize(spec), 0600));
  Runtime::Launch launch;
  launch.id = container.id;
  launch.log_path = log_path(container.id);
  launch.terminal = container.has_terminal();
  launch.standard_input = flag_of(container.config, "OpenStdin");
  launch.keep_standard_input =
      launch.standard_input && (launch.terminal || !flag_of(container.config, "StdinOnce"));
  launch.keep_log = text_of(object_of(container.host_config, "LogConfig"), "Type") != "none";
  return services_.runtime.create(launch);
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
  state.started_at = format_rfc3339(services_.clock.wall_now());
  // Written before the first instruction runs: a crash of ours from here on loses nothing.
  LAB_CO_CHECK(save(*container, false));
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
  container->starting = true;
  Result<void> started = reserve_network(*container);
  if (started) {
    Result<Runtime::Launched> launched = co_await run_blocking<Result<Runtime::Launched>>(
        [this, &container] { return launch(*container); });
    if (launched) {
      started = co_await run_started(container, *launched);
    } else {
      started = std::move(launched).error();
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
  if (container->sandbox && !container->sandbox->endpoints.empty()) {
    const network::Endpoint& endpoint = container->sandbox->endpoints.front();
    const network::Network* network = services_.networks.find(endpoint.network_id);
    services_.events.emit("network", "connect", endpoint.network_id,
                          {{"container", container->id},
                           {"name", endpoint.network_name},
                           {"type", network != nullptr ? network->driver : ""}});
  }
  emit(*container, "start");
  container->changed.notify_all();
  background_.spawn("watching a container", watch(container));
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
