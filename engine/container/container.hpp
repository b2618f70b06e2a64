// One container: what it was made from, its state, and who waits for it. Lives on the event loop's
// thread.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "base/error.hpp"
#include "engine/container/mounts.hpp"
#include "engine/container/runtime.hpp"
#include "engine/network/network.hpp"
#include "engine/util/async.hpp"

namespace lab::engine::container {

class AttachSession;

// What a container's health check has found, since its process was started.
struct Health {
  std::string status = "starting";  // or "healthy" or "unhealthy"
  int failing_streak = 0;
  std::deque<boost::json::object> log;  // of the last probes: Start, End, ExitCode, Output
};

struct State {
  bool running = false;
  bool paused = false;
  bool restarting = false;
  bool removing = false;
  bool dead = false;
  bool oom_killed = false;
  ProcessId process;
  ProcessId monitor;
  int exit_code = 0;
  std::string error;
  std::optional<Health> health;  // of a container with a health check
  std::string started_at = zero_rfc3339;
  std::string finished_at = zero_rfc3339;

  // "created", "running", "paused", "restarting", "removing", "exited" or "dead".
  [[nodiscard]] std::string_view status() const;
};

struct Container {
  explicit Container(const boost::asio::any_io_executor& executor)
      : operation(executor), changed(executor) {}

  std::string id;
  std::string name;  // without the slash
  std::string created;
  std::int64_t created_seconds = 0;
  std::string path;
  std::vector<std::string> arguments;
  std::string image_id;
  boost::json::object config;
  boost::json::object host_config;
  std::vector<MountPoint> mounts;
  State state;
  int restart_count = 0;
  bool stopped_by_user = false;
  std::optional<network::Sandbox> sandbox;  // while it runs
  // The id and place of the sandbox of its last run, which documents go on to show.
  std::string last_sandbox_id;
  std::string last_sandbox_key;
  // Where it was or will be attached, by network name: the wishes in the API's EndpointSettings.
  std::map<std::string, boost::json::object> networks;
  bool name_generated = false;

  // Held by what changes the container (start, stop, remove), one at a time.
  AsyncMutex operation;
  // Notified when `state` changes.
  Signal changed;
  // Grows with every end of the container's process, and when it is removed.
  std::uint64_t exits = 0;
  bool removed = false;
  bool user_restart = false;  // its end is part of a restart
  bool starting = false;      // a start is under way: its end is not handled before it
  bool rewiring = false;      // the same of a change of its networks
  bool cleaning = false;      // what its last run left on the host is being taken away
  std::chrono::milliseconds restart_delay{0};
  std::set<std::string> execs;
  // Attached before the start; connected when the monitor is there.
  std::vector<std::weak_ptr<AttachSession>> waiting_sessions;

  [[nodiscard]] bool has_terminal() const;
  // "bridge", "none", "host", "container:ID" or the network it was made for.
  [[nodiscard]] std::string network_mode() const;
  // It has another container's network.
  [[nodiscard]] bool joins_network() const { return network_mode().starts_with("container:"); }
  [[nodiscard]] boost::json::object to_document() const;
};
using ContainerPtr = std::shared_ptr<Container>;

[[nodiscard]] Result<ContainerPtr> container_from_document(
    const boost::json::object& document, const boost::asio::any_io_executor& executor);

}  // namespace lab::engine::container
