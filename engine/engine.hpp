// The container engine: all its parts, wired together. One event loop's thread.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <memory>

#include "base/clock.hpp"
#include "base/error.hpp"
#include "engine/container/containers.hpp"
#include "engine/container/exec.hpp"
#include "engine/container/health_monitor.hpp"
#include "engine/container/log_rotation.hpp"
#include "engine/daemon_config.hpp"
#include "engine/events/events.hpp"
#include "engine/image/image_store.hpp"
#include "engine/network/networks.hpp"
#include "engine/state/document_store.hpp"
#include "engine/volume/volumes.hpp"

namespace lab::engine {

// Held by whoever writes below a data root. Code::conflict when another process has it.
[[nodiscard]] Result<Fd> lock_data_root(const std::filesystem::path& data_root);

class Engine {
 public:
  // Opens the state below the data root; another engine on it is Code::conflict.
  [[nodiscard]] static Result<std::unique_ptr<Engine>> open(
      const boost::asio::any_io_executor& executor, DaemonConfig config, const Clock& clock);

  // Makes networks and takes up running containers. Before requests are served.
  [[nodiscard]] boost::asio::awaitable<Result<void>> start();

  // Takes over what dockerd's SIGHUP changes too: debug, labels, mirrors, insecure registries. An
  // engine that finds itself on another machine than before, because that was forked from a running
  // one, gets an identity of its own.
  [[nodiscard]] boost::asio::awaitable<Result<void>> reload(DaemonConfig fresh);

  [[nodiscard]] const DaemonConfig& config() const { return config_; }
  [[nodiscard]] const Clock& clock() const { return clock_; }
  [[nodiscard]] const boost::asio::any_io_executor& executor() const { return executor_; }
  [[nodiscard]] const std::string& id() const { return id_; }
  [[nodiscard]] EventBus& events() { return events_; }
  [[nodiscard]] image::ImageStore& images() { return *images_; }
  [[nodiscard]] volume::Volumes& volumes() { return volumes_; }
  [[nodiscard]] network::Networks& networks() { return networks_; }
  [[nodiscard]] container::Containers& containers() { return containers_; }
  [[nodiscard]] container::Execs& execs() { return execs_; }

 private:
  Engine(const boost::asio::any_io_executor& executor, DaemonConfig config, const Clock& clock,
         Fd lock, std::unique_ptr<DocumentStore> store, std::unique_ptr<image::ImageStore> images);
  [[nodiscard]] Result<void> load();
  // Sets the id. True: it is a new one, as the state here is another machine's.
  [[nodiscard]] Result<bool> identify();

  boost::asio::any_io_executor executor_;
  DaemonConfig config_;
  const Clock& clock_;
  Fd lock_;
  std::string id_;
  std::unique_ptr<DocumentStore> store_;
  std::unique_ptr<image::ImageStore> images_;
  EventBus events_;
  volume::Volumes volumes_;
  network::Networks networks_;
  container::Runtime runtime_;
  container::Containers containers_;
  container::Execs execs_;
  container::HealthMonitor health_;
  container::LogRotation log_rotation_;
};

}  // namespace lab::engine
