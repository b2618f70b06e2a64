#include <signal.h>

#include "base/blocking.hpp"
#include "base/log.hpp"
#include "engine/container/config.hpp"
#include "engine/container/containers.hpp"
#include "engine/util/json.hpp"

namespace lab::engine::container {

namespace asio = boost::asio;

namespace {

constexpr std::int64_t stop_seconds_default = 10;
constexpr std::chrono::seconds kill_wait{10};

int stop_signal(const Container& container) {
  std::string text = text_of(container.config, "StopSignal");
  if (text.empty()) return SIGTERM;
  Result<int> signal = parse_signal(text);
  return signal ? *signal : SIGTERM;
}

Error not_running(const Container& container) {
  return make_error(Code::conflict, "Container {} is not running", container.id);
}

}  // namespace

// Written before the signal: whoever stopped the container does not see it come back because we
// were killed in between.
Result<void> Containers::mark_stopped(Container& container) const {
  if (std::exchange(container.stopped_by_user, true)) return {};
  constexpr bool durable = false;  // a machine that loses power stops containers by itself
  return save(container, durable);
}

asio::awaitable<bool> Containers::wait_stopped(ContainerPtr container, TimePoint deadline) {
  while (container->state.running) {
    if (services_.clock.now() >= deadline) co_return false;
    co_await container->changed.wait_until(deadline);
  }
  co_return true;
}

asio::awaitable<Result<void>> Containers::stop_locked(ContainerPtr container,
                                                      std::optional<std::int64_t> seconds) {
  int signal = stop_signal(*container);
  emit(*container, "kill", {{"signal", fmt::format("{}", signal)}});
  Result<void> sent = send_signal(container->state.process, signal);
  if (!sent && sent.error().code != Code::not_found) co_return sent;
  if (container->state.paused) {
    LAB_CO_CHECK(co_await run_blocking<Result<void>>(
        [this, &container] { return services_.runtime.resume(container->id); }));
    container->state.paused = false;
  }
  std::int64_t patience =
      seconds.value_or(integer_of(container->config, "StopTimeout", stop_seconds_default));
  TimePoint deadline =
      patience < 0 ? TimePoint::max() : services_.clock.now() + std::chrono::seconds(patience);
  if (co_await wait_stopped(container, deadline)) co_return Result<void>();
  emit(*container, "kill", {{"signal", "9"}});
  sent = send_signal(container->state.process, SIGKILL);
  if (!sent && sent.error().code != Code::not_found) co_return sent;
  if (co_await wait_stopped(container, services_.clock.now() + kill_wait)) co_return Result<void>();
  co_return make_error(Code::internal,
                       "container {} did not end within {} s of SIGKILL to its process {}",
                       container->id, kill_wait.count(), container->state.process.pid);
}

asio::awaitable<Result<void>> Containers::stop(ContainerPtr container,
                                               std::optional<std::int64_t> seconds) {
  if (container->state.running || container->state.restarting)
    LAB_CO_CHECK(mark_stopped(*container));
  container->changed.notify_all();
  AsyncMutex::Lock lock = co_await container->operation.lock();
  if (!container->state.running) {
    if (!container->state.restarting) co_return make_error(Code::not_modified, "{}", "");
    container->state.restarting = false;
    LAB_CO_CHECK(save(*container));
    co_return Result<void>();
  }
  LAB_CO_CHECK(mark_stopped(*container));
  Result<void> stopped = co_await stop_locked(container, seconds);
  if (!stopped) {
    co_return make_error(Code::internal, "cannot stop container: {}: {}", container->name,
                         stopped.error().message);
  }
  emit(*container, "stop");
  co_return Result<void>();
}

asio::awaitable<Result<void>> Containers::restart(ContainerPtr container,
                                                  std::optional<std::int64_t> seconds) {
  AsyncMutex::Lock lock = co_await container->operation.lock();
  if (container->state.running) {
    // An end that is part of a restart is neither the user's wish to stop nor a case for --rm.
    container->user_restart = true;
    Result<void> stopped = co_await stop_locked(container, seconds);
    container->user_restart = false;
    if (!stopped) {
      co_return make_error(Code::internal, "Cannot restart container {}: {}", container->name,
                           stopped.error().message);
    }
    emit(*container, "stop");
  }
  container->stopped_by_user = false;
  Result<void> started = co_await start_locked(container);
  if (!started) co_return started;
  emit(*container, "restart");
  co_return Result<void>();
}

asio::awaitable<Result<void>> Containers::kill(ContainerPtr container, int signal) {
  if (!container->state.running) co_return not_running(*container);
  if (signal < 1 || signal > SIGRTMAX) {
    co_return make_error(Code::internal, "The linux daemon does not support signal {}",
                         static_cast<std::uint64_t>(signal));
  }
  if (signal == SIGKILL || signal == stop_signal(*container))
    LAB_CO_CHECK(mark_stopped(*container));
  Result<void> sent = send_signal(container->state.process, signal);
  if (!sent && sent.error().code != Code::not_found) co_return sent;
  emit(*container, "kill", {{"signal", fmt::format("{}", signal)}});
  if (container->state.paused && signal == SIGKILL) {
    LAB_CO_CHECK(co_await run_blocking<Result<void>>(
        [this, &container] { return services_.runtime.resume(container->id); }));
    container->state.paused = false;
  }
  if (signal == SIGKILL) {
    bool stopped = co_await wait_stopped(container, services_.clock.now() + kill_wait);
    if (!stopped) {
      co_return make_error(Code::internal, "container {} did not end within {} s of SIGKILL",
                           container->id, kill_wait.count());
    }
  }
  co_return Result<void>();
}

asio::awaitable<Result<void>> Containers::pause(ContainerPtr container) {
  AsyncMutex::Lock lock = co_await container->operation.lock();
  if (!container->state.running) co_return not_running(*container);
  if (container->state.paused)
    co_return make_error(Code::conflict, "Container {} is already paused", container->id);
  LAB_CO_CHECK(co_await run_blocking<Result<void>>(
      [this, &container] { return services_.runtime.pause(container->id); }));
  container->state.paused = true;
  saved_or_logged(*container);
  emit(*container, "pause");
  container->changed.notify_all();
  co_return Result<void>();
}

asio::awaitable<Result<void>> Containers::unpause(ContainerPtr container) {
  AsyncMutex::Lock lock = co_await container->operation.lock();
  if (!container->state.running || !container->state.paused)
    co_return make_error(Code::internal, "Container {} is not paused", container->id);
  LAB_CO_CHECK(co_await run_blocking<Result<void>>(
      [this, &container] { return services_.runtime.resume(container->id); }));
  container->state.paused = false;
  saved_or_logged(*container);
  emit(*container, "unpause");
  container->changed.notify_all();
  co_return Result<void>();
}

asio::awaitable<Result<void>> Containers::remove(ContainerPtr container, RemoveOptions options) {
  if (container->state.removing) {
    co_return make_error(Code::conflict, "removal of container {} is already in progress",
                         container->id);
  }
  bool active = container->state.running || container->state.restarting;
  if (active && !options.force) {
    const char* advice = container->state.paused
                             ? "Unpause and then stop the container before attempting removal or "
                               "force remove"
                             : "Stop the container before attempting removal or force remove";
    co_return make_error(Code::conflict, "You cannot remove a {} container {}. {}",
                         container->state.status(), container->id, advice);
  }
  container->state.removing = true;
  container->stopped_by_user = true;
  container->changed.notify_all();
  if (container->state.running) {
    Result<void> killed = co_await kill(container, SIGKILL);
    if (!killed && killed.error().code != Code::conflict) {
      container->state.removing = false;
      co_return killed.error().wrap("Could not kill running container {}, cannot remove",
                                    container->id);
    }
  }
  AsyncMutex::Lock lock = co_await container->operation.lock();
  if (container->removed) co_return Result<void>();
  // The commit point: what follows is done again at the next start if a crash interrupts it.
  const bool durable = !flag_of(container->host_config, "AutoRemove");
  if (Result<void> gone = services_.store.remove("container", container->id, durable); !gone) {
    container->state.removing = false;
    co_return gone;
  }
  containers_.erase(container->id);
  names_.erase(container->name);
  {
    std::scoped_lock users(image_users_mutex_);
    image_users_.erase(container->id);
  }
  if (options.volumes) remove_anonymous_volumes(*container);
  // Who runs with --rm waits for the end of the container, not for that of its files.
  const bool automatic = flag_of(container->host_config, "AutoRemove");
  if (automatic) announce_removed(*container);
  co_await remove_files(container);
  if (!automatic) announce_removed(*container);
  co_return Result<void>();
}

void Containers::announce_removed(Container& container) const {
  container.removed = true;
  ++container.exits;
  emit(container, "destroy");
  container.changed.notify_all();
}

asio::awaitable<void> Containers::remove_files(ContainerPtr container) {
  while (container->cleaning) co_await container->changed.wait();
  Result<void> cleared = co_await run_blocking<Result<void>>([this, &container]() -> Result<void> {
    std::error_code ignored;
    std::filesystem::remove_all(folder(container->id), ignored);
    std::filesystem::remove(services_.runtime.exit_folder() / container->id, ignored);
    LAB_CHECK(remove_rootfs(rootfs(container->id)));
    return services_.images.release(container->id);
  });
  if (!cleared)
    log::warning("removing container {}: {}", container->id.substr(0, 12), cleared.error().message);
}

void Containers::remove_anonymous_volumes(const Container& container) {
  for (const MountPoint& mount : container.mounts) {
    if (mount.type != "volume" || !mount.anonymous) continue;
    if (!users_of_volume(mount.name).empty()) continue;
    if (Result<void> gone = services_.volumes.remove(mount.name); !gone) {
      log::warning("removing volume {}: {}", mount.name, gone.error().message);
      continue;
    }
    services_.events.emit("volume", "destroy", mount.name, {{"driver", "local"}});
  }
}

}  // namespace lab::engine::container
