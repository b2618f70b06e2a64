#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <charconv>

#include "base/blocking.hpp"
#include "base/file.hpp"
#include "base/log.hpp"
#include "engine/container/containers.hpp"
#include "engine/network/networks.hpp"
#include "engine/util/json.hpp"

namespace lab::engine::container {

namespace asio = boost::asio;

namespace {

constexpr std::chrono::milliseconds restart_delay_first{100};
constexpr std::chrono::milliseconds restart_delay_max{60'000};
// A container that ran this long starts again without an accumulated delay.
constexpr std::chrono::seconds healthy_run{10};
// How long the API waits at our start for the containers that ended meanwhile: a few are shown as
// they are from the first answer on, hundreds do not hold up the others.
constexpr std::chrono::milliseconds finishing_wait{500};
// As dockerd reports a container that ended while nobody watched, without a trace.
constexpr int unknown_exit_code = 255;
constexpr int killed_exit_code = 137;

// Asked again after each wait, for a wait may end early: epoll goes on reporting a descriptor that
// was closed here as long as a child that has not reached its exec holds it, and Asio takes the
// report for one of the next descriptor.
bool has_ended(int pidfd) {
  pollfd ended{pidfd, POLLIN, 0};
  return poll(&ended, 1, 0) != 0;
}

}  // namespace

// The status that the monitor left. Without one, the monitor was killed: so is what it watched.
int Containers::take_exit_code(const Container& container, bool& oom_killed) const {
  std::filesystem::path file = services_.runtime.exit_folder() / container.id;
  std::error_code ignored;
  oom_killed = std::filesystem::exists(services_.runtime.bundle(container.id) / "oom", ignored);
  Result<std::string> text = read_file(file, 64);
  if (!text) {
    bool orphan = container.state.process.alive();
    if (orphan) static_cast<void>(send_signal(container.state.process, SIGKILL));
    log::warning("container {}: its monitor ended without leaving an exit status{}",
                 container.id.substr(0, 12), orphan ? "; its processes are killed" : "");
    return orphan ? killed_exit_code : unknown_exit_code;
  }
  int code = unknown_exit_code;
  std::from_chars(text->data(), text->data() + text->size(), code);
  return code;
}

asio::awaitable<void> Containers::watch(ContainerPtr container) {
  ProcessId monitor = container->state.monitor;
  Fd pidfd(static_cast<int>(syscall(SYS_pidfd_open, monitor.pid, 0U)));
  if (pidfd && monitor.alive()) {
    asio::posix::stream_descriptor ended(services_.executor, pidfd.release());
    while (!has_ended(ended.native_handle())) {
      co_await ended.async_wait(asio::posix::stream_descriptor::wait_read,
                                asio::as_tuple(asio::use_awaitable));
    }
  }
  bool oom_killed = false;
  int code = take_exit_code(*container, oom_killed);
  co_await finish(container, code, oom_killed);
}

// Gives back what others may want next: addresses, ports, volumes.
asio::awaitable<void> Containers::leave_networks(ContainerPtr container) {
  std::optional<network::Sandbox> sandbox = container->sandbox;
  co_await run_on_pool([this, &sandbox, &container] {
    if (sandbox) services_.networks.tear_down(*sandbox);
    release_volumes(*container);
  });
  if (sandbox) {
    services_.networks.release(*sandbox);
    container->last_sandbox_id = sandbox->id;
    container->last_sandbox_key = sandbox_key(*sandbox).string();
  }
  container->sandbox.reset();
}

// What else a run of the container leaves on the host. Nobody waits for it but the next start and
// the removal: unmounting alone may take as long as the disk needs.
asio::awaitable<void> Containers::clean_host(ContainerPtr container) {
  container->cleaning = true;
  co_await run_on_pool([this, &container] {
    services_.runtime.remove(container->id);
    unmount_rootfs(rootfs(container->id));
  });
  container->cleaning = false;
  container->changed.notify_all();
}

asio::awaitable<void> Containers::clean_up(ContainerPtr container) {
  co_await clean_host(container);
  co_await leave_networks(container);
}

bool Containers::should_restart(const Container& container) const {
  const boost::json::object& policy = object_of(container.host_config, "RestartPolicy");
  std::string name = text_of(policy, "Name");
  if (container.stopped_by_user || container.user_restart) return false;
  if (name == "always" || name == "unless-stopped") return true;
  if (name != "on-failure" || container.state.exit_code == 0) return false;
  std::int64_t retries_max = integer_of(policy, "MaximumRetryCount");
  return retries_max == 0 || container.restart_count < retries_max;
}

asio::awaitable<void> Containers::finish(ContainerPtr container, int exit_code, bool oom_killed) {
  while (container->starting || container->rewiring) co_await container->changed.wait();
  State& state = container->state;
  if (!state.running) co_return;
  std::optional<network::Sandbox> sandbox = container->sandbox;
  WallTime now = services_.clock.wall_now();
  co_await leave_networks(container);
  container->cleaning = true;
  background_.spawn("cleaning up after a container", clean_host(container));
  bool healthy = format_rfc3339(now - healthy_run) > state.started_at;
  state.running = false;
  state.paused = false;
  state.process = {};
  state.monitor = {};
  state.exit_code = exit_code;
  state.oom_killed = oom_killed;
  state.finished_at = format_rfc3339(now);
  if (state.health) state.health->status = "unhealthy";  // as dockerd, once nobody probes it
  bool restarts = should_restart(*container);
  state.restarting = restarts;
  if (restarts) ++container->restart_count;
  bool removes =
      !restarts && flag_of(container->host_config, "AutoRemove") && !container->user_restart;
  if (Result<void> saved = save(*container, !removes); !saved)
    log::error("container {}: {}", container->id.substr(0, 12), saved.error().message);
  // Only now: until the status is in the store, the monitor's file is all there is.
  std::error_code ignored;
  std::filesystem::remove(services_.runtime.exit_folder() / container->id, ignored);
  {
    std::scoped_lock lock(image_users_mutex_);
    if (auto use = image_users_.find(container->id); use != image_users_.end())
      use->second.second = false;
  }
  emit(*container, "die", {{"exitCode", fmt::format("{}", exit_code)}});
  if (sandbox) {
    for (const network::Endpoint& endpoint : sandbox->endpoints)
      emit_network(*container, endpoint, "disconnect");
  }
  ++container->exits;
  container->changed.notify_all();
  if (restarts) {
    auto doubled = std::min(container->restart_delay * 2, restart_delay_max);
    container->restart_delay = healthy || doubled.count() == 0 ? restart_delay_first : doubled;
    background_.spawn("restarting a container", restart_later(container, container->restart_delay));
  } else if (removes) {
    RemoveOptions how{true, true};
    Result<void> removed = co_await remove(container, how);
    if (!removed && removed.error().code != Code::conflict)
      log::warning("removing container {}: {}", container->id.substr(0, 12),
                   removed.error().message);
  }
}

asio::awaitable<void> Containers::restart_later(ContainerPtr container,
                                                std::chrono::milliseconds delay) {
  TimePoint deadline = services_.clock.now() + delay;
  while (services_.clock.now() < deadline && container->state.restarting &&
         !container->stopped_by_user)
    co_await container->changed.wait_until(deadline);
  AsyncMutex::Lock lock = co_await container->operation.lock();
  if (!container->state.restarting || container->stopped_by_user || container->removed) {
    container->state.restarting = false;
    container->changed.notify_all();
    co_return;
  }
  Result<void> started = co_await start_locked(container);
  if (!started) {
    container->state.restarting = false;
    log::warning("restarting container {}: {}", container->id.substr(0, 12),
                 started.error().message);
  }
}

asio::awaitable<void> Containers::restore() {
  // The sandboxes of what did not live on are gone (a reboot, or removed as stale), and so is the
  // claim to their addresses: others may get them from here on.
  for (const auto& [id, container] : containers_) {
    std::error_code ignored;
    if (container->sandbox && !std::filesystem::exists(container->sandbox->key, ignored))
      container->sandbox.reset();
  }
  // Before anything is unmounted: these volumes stay.
  for (const ContainerPtr& container : list()) {
    if (!container->state.running || !container->state.monitor.alive()) continue;
    if (Result<void> held = acquire_volumes(*container); !held)
      log::warning("container {}: {}", container->id.substr(0, 12), held.error().message);
  }
  std::vector<ContainerPtr> ended;
  for (const ContainerPtr& container : list()) {
    State& state = container->state;
    if (state.running && state.monitor.alive()) {
      log::info("container {} runs on", container->id.substr(0, 12));
      Result<void> begun = co_await run_blocking<Result<void>>(
          [this, &container] { return services_.runtime.start_if_waiting(container->id); });
      if (!begun)
        log::warning("container {}: {}", container->id.substr(0, 12), begun.error().message);
      background_.spawn("watching a container", watch(container));
      on_running_(container);
      continue;
    }
    if (state.running) {
      background_.spawn("finishing a container", watch(container));  // applies the restart policy
      ended.push_back(container);
      continue;
    }
    // A removal or a start that was interrupted.
    co_await run_on_pool([this, &container] { services_.runtime.settle(container->id); });
    co_await clean_up(container);
    if (flag_of(container->host_config, "AutoRemove")) {
      RemoveOptions options{true, true};
      static_cast<void>(co_await remove(container, options));
      continue;
    }
    bool was_restarting = std::exchange(state.restarting, false);
    std::string policy = text_of(object_of(container->host_config, "RestartPolicy"), "Name");
    bool has_run = state.started_at != zero_rfc3339;
    bool again = was_restarting || (policy == "always" && has_run) ||
                 (policy == "unless-stopped" && has_run && !container->stopped_by_user);
    if (!again) continue;
    state.restarting = true;
    container->stopped_by_user = false;
    background_.spawn("restarting a container",
                      restart_later(container, std::chrono::milliseconds(0)));
  }
  const TimePoint deadline = services_.clock.now() + finishing_wait;
  for (const ContainerPtr& container : ended)
    static_cast<void>(co_await wait_stopped(container, deadline));
}

}  // namespace lab::engine::container
