// All containers of the engine and what can be done to them. On the event loop's thread; work that
// blocks (mounts, namespaces, child processes) goes to the pool.
//
// Every change is written to the store before it is acknowledged. A container's processes belong to
// its monitor, not to us: after a restart restore() takes up what runs and learns what has ended.
#pragma once

#include <atomic>
#include <filesystem>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "base/random.hpp"
#include "engine/container/container.hpp"
#include "engine/container/seccomp_filters.hpp"
#include "engine/container/spec.hpp"
#include "engine/events/events.hpp"
#include "engine/image/image_store.hpp"
#include "engine/network/dns/sockets.hpp"
#include "engine/state/document_store.hpp"
#include "engine/volume/volumes.hpp"

namespace lab::engine::network {
class Networks;
struct LiveSandbox;
struct SandboxRequest;
}  // namespace lab::engine::network

namespace lab::engine::container {

// What containers are made of; all of it outlives them.
struct Services {
  boost::asio::any_io_executor executor;
  const Clock& clock;
  DocumentStore& store;
  image::ImageStore& images;
  network::Networks& networks;
  volume::Volumes& volumes;
  const Runtime& runtime;
  EventBus& events;
  std::filesystem::path data_root;
};

struct CreateRequest {
  std::string name;  // empty: a random one
  boost::json::object config;
  boost::json::object host_config;
  boost::json::object networking_config;
};
struct CreateResult {
  std::string id;
  std::vector<std::string> warnings;
};

struct RemoveOptions {
  bool force = false;
  bool volumes = false;
};

class Containers final : public image::ImageUsers {
 public:
  explicit Containers(Services services);

  [[nodiscard]] Result<void> load();
  // The sandboxes of containers whose processes are still there.
  [[nodiscard]] std::vector<network::LiveSandbox> live_sandboxes() const;
  // Takes up running containers, finishes what ended meanwhile, applies restart policies.
  [[nodiscard]] boost::asio::awaitable<void> restore();

  // By name, id or an unambiguous start of an id. "No such container: x".
  [[nodiscard]] Result<ContainerPtr> find(std::string_view name_or_id) const;
  // Newest first.
  [[nodiscard]] std::vector<ContainerPtr> list() const;
  [[nodiscard]] std::vector<image::ImageUser> users_of_image(
      const std::string& image_id) const override;
  // Ids of the containers that have the volume.
  [[nodiscard]] std::vector<std::string> users_of_volume(const std::string& name) const;

  [[nodiscard]] boost::asio::awaitable<Result<CreateResult>> create(CreateRequest request);
  [[nodiscard]] boost::asio::awaitable<Result<void>> start(ContainerPtr container);
  // Seconds until SIGKILL; without: the container's own, or 10. Negative waits forever.
  [[nodiscard]] boost::asio::awaitable<Result<void>> stop(ContainerPtr container,
                                                          std::optional<std::int64_t> seconds);
  [[nodiscard]] boost::asio::awaitable<Result<void>> restart(ContainerPtr container,
                                                             std::optional<std::int64_t> seconds);
  [[nodiscard]] boost::asio::awaitable<Result<void>> kill(ContainerPtr container, int signal);
  [[nodiscard]] boost::asio::awaitable<Result<void>> pause(ContainerPtr container);
  [[nodiscard]] boost::asio::awaitable<Result<void>> unpause(ContainerPtr container);
  // `change` holds members of HostConfig: limits and RestartPolicy.
  [[nodiscard]] boost::asio::awaitable<Result<void>> update(ContainerPtr container,
                                                            boost::json::object change);
  [[nodiscard]] boost::asio::awaitable<Result<void>> remove(ContainerPtr container,
                                                            RemoveOptions options);
  [[nodiscard]] Result<void> rename(const ContainerPtr& container, std::string name);

  // Takes a link away; false if the container has none of that alias.
  [[nodiscard]] bool unlink(const ContainerPtr& container, const std::string& alias);

  // Docker's errors. `settings` is the API's EndpointSettings.
  [[nodiscard]] boost::asio::awaitable<Result<void>> connect(ContainerPtr container,
                                                             std::string network,
                                                             boost::json::object settings);
  [[nodiscard]] boost::asio::awaitable<Result<void>> disconnect(ContainerPtr container,
                                                                std::string network, bool force);

  // The folder with the container's hosts, hostname and resolv.conf files and its log.
  [[nodiscard]] std::filesystem::path folder(const std::string& id) const;
  [[nodiscard]] std::filesystem::path log_path(const std::string& id) const;
  [[nodiscard]] RootfsPaths rootfs(const std::string& id) const;
  // The layers below the container's writable one, topmost first.
  [[nodiscard]] Result<std::vector<std::filesystem::path>> lowers(const std::string& id) const;
  // The sandbox's file; the host's own namespace has Docker's name for it.
  [[nodiscard]] std::filesystem::path sandbox_key(const network::Sandbox& sandbox) const;
  [[nodiscard]] const Services& services() const { return services_; }
  [[nodiscard]] const HostFeatures& host() const { return host_; }
  // Called for every container that begins to run or is found running at our start.
  using Observer = std::function<void(const ContainerPtr&)>;
  void on_running(Observer observer) { on_running_ = std::move(observer); }
  void emit(const Container& container, std::string action, Attributes more = {}) const;

 private:
  [[nodiscard]] Result<void> save(const Container& container, bool durable = true) const;
  void saved_or_logged(const Container& container) const;

  // create.cpp
  [[nodiscard]] Result<std::string> claim_name(const std::string& wanted, const std::string& id);
  [[nodiscard]] Result<void> prepare(Container& container, const image::Image& image) const;
  [[nodiscard]] Result<void> resolve_mounts(Container& container) const;
  [[nodiscard]] Result<void> resolve_volumes_from(Container& container) const;
  [[nodiscard]] Result<void> materialize(const Container& container) const;
  [[nodiscard]] Result<void> populate(const Container& container, const MountPoint& mount,
                                      const std::filesystem::path& from) const;

  // start.cpp
  [[nodiscard]] boost::asio::awaitable<Result<void>> start_locked(ContainerPtr container);
  struct Built {
    Runtime::Launched launched;
    network::dns::Sockets name_sockets;
  };
  [[nodiscard]] Result<void> acquire_volumes(const Container& container) const;
  void release_volumes(const Container& container) const;
  [[nodiscard]] Result<Built> launch(const Container& container) const;
  [[nodiscard]] Result<SpecPaths> spec_paths(const Container& container) const;
  [[nodiscard]] boost::asio::awaitable<Result<void>> run_started(ContainerPtr container,
                                                                 Runtime::Launched launched);
  [[nodiscard]] boost::asio::awaitable<void> fail_start(ContainerPtr container, Error& error);

  // networking.cpp
  [[nodiscard]] Result<void> plan_networks(Container& container,
                                           const boost::json::object& networking_config) const;
  [[nodiscard]] Result<void> check_links(const Container& container) const;
  [[nodiscard]] Result<void> reserve_network(Container& container);
  [[nodiscard]] network::SandboxRequest sandbox_request(const Container& container) const;
  [[nodiscard]] Result<void> write_network_files(const Container& container) const;
  [[nodiscard]] Result<void> add_link_hosts(const Container& container,
                                            std::vector<std::string>& extra_hosts) const;
  [[nodiscard]] Result<boost::json::object> check_connect(
      const Container& container, const std::string& network,
      const boost::json::object& settings) const;
  void emit_network(const Container& container, const network::Endpoint& endpoint,
                    std::string action) const;

  // exit.cpp
  [[nodiscard]] boost::asio::awaitable<void> watch(ContainerPtr container);
  [[nodiscard]] boost::asio::awaitable<void> finish(ContainerPtr container, int exit_code,
                                                    bool oom_killed);
  [[nodiscard]] boost::asio::awaitable<void> leave_networks(ContainerPtr container);
  [[nodiscard]] boost::asio::awaitable<void> clean_host(ContainerPtr container);
  [[nodiscard]] boost::asio::awaitable<void> clean_up(ContainerPtr container);
  [[nodiscard]] boost::asio::awaitable<void> restart_later(ContainerPtr container,
                                                           std::chrono::milliseconds delay);
  [[nodiscard]] bool should_restart(const Container& container) const;
  [[nodiscard]] int take_exit_code(const Container& container, bool& oom_killed) const;

  // stop.cpp
  [[nodiscard]] Result<void> mark_stopped(Container& container) const;
  [[nodiscard]] boost::asio::awaitable<Result<void>> stop_locked(
      ContainerPtr container, std::optional<std::int64_t> seconds);
  void remove_anonymous_volumes(const Container& container);
  void announce_removed(Container& container) const;
  [[nodiscard]] boost::asio::awaitable<void> remove_files(ContainerPtr container);
  [[nodiscard]] boost::asio::awaitable<bool> wait_stopped(ContainerPtr container,
                                                          TimePoint deadline);

  Services services_;
  Observer on_running_ = [](const ContainerPtr&) {};
  HostFeatures host_;
  mutable SeccompFilters seccomp_filters_;
  Background background_;
  Random random_;
  std::map<std::string, ContainerPtr> containers_;         // by id
  std::map<std::string, std::string, std::less<>> names_;  // name -> id
  mutable std::mutex image_users_mutex_;
  std::map<std::string, std::pair<std::string, bool>> image_users_;  // id -> image id, running
};

}  // namespace lab::engine::container
