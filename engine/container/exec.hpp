// Additional processes in running containers. Their records live in memory: they end with us, as
// Docker's do.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "engine/container/attach.hpp"
#include "engine/container/containers.hpp"

namespace lab::engine::container {

struct Exec {
  explicit Exec(const boost::asio::any_io_executor& executor) : changed(executor) {}

  std::string id;
  ContainerPtr container;
  ExecOptions options;
  std::string user;
  bool standard_input = false;
  bool output = false;
  bool errors = false;
  std::string detach_keys;
  bool started = false;
  bool running = false;
  std::optional<int> exit_code;
  ProcessId process;
  Signal changed;
};
using ExecPtr = std::shared_ptr<Exec>;

class Execs {
 public:
  explicit Execs(Containers& containers)
      : containers_(containers), background_(containers.services().executor) {}

  // `request` is the body of POST /containers/ID/exec.
  [[nodiscard]] Result<ExecPtr> create(const ContainerPtr& container,
                                       const boost::json::object& request);
  [[nodiscard]] Result<ExecPtr> find(const std::string& id) const;
  // Conflicts before anything is started.
  [[nodiscard]] Result<void> check_start(const Exec& exec) const;
  // Starts the process; the session (may be null) is connected to its streams.
  [[nodiscard]] boost::asio::awaitable<Result<void>> start(ExecPtr exec,
                                                           std::shared_ptr<AttachSession> session,
                                                           bool terminal);
  // Clients tell the size while the process is still being started: waits for it.
  [[nodiscard]] boost::asio::awaitable<Result<void>> resize(ExecPtr exec, int height, int width);
  [[nodiscard]] boost::json::object inspect(const Exec& exec) const;
  [[nodiscard]] Background& background() { return background_; }

 private:
  [[nodiscard]] boost::asio::awaitable<void> watch(ExecPtr exec, int status_pipe);
  [[nodiscard]] Result<Runtime::ExecStarted> launch(const Exec& exec) const;
  void forget_old();

  Containers& containers_;
  Background background_;
  std::map<std::string, ExecPtr> execs_;
};

}  // namespace lab::engine::container
