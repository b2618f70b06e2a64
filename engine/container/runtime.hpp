// The OCI runtime (crun) and its monitor (conmon). conmon outlives us: it holds the container's
// terminal and standard streams, writes its log, and when the container ends leaves its exit status
// in a file of the exit folder. What is no coroutine blocks for a child process or two and belongs
// on the pool.
#pragma once

#include <sys/types.h>

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "base/file.hpp"

namespace lab::engine::container {

// A process that may be gone and its id used again: the start time tells them apart.
struct ProcessId {
  pid_t pid = 0;
  std::uint64_t start_ticks = 0;  // /proc/PID/stat, field 22

  [[nodiscard]] bool alive() const;
};
// start_ticks is 0 when there is no such process.
[[nodiscard]] ProcessId identify(pid_t pid);
// ESRCH is Code::not_found.
[[nodiscard]] Result<void> send_signal(const ProcessId& process, int signal);

class Runtime {
 public:
  struct Options {
    std::string crun;    // path
    std::string conmon;  // path
    std::filesystem::path exec_root;
  };
  explicit Runtime(Options options) : options_(std::move(options)) {}

  [[nodiscard]] Result<void> prepare_folders() const;
  // Holds config.json, the attach socket and the pid files of a running container.
  [[nodiscard]] std::filesystem::path bundle(const std::string& id) const;
  // The seccomp filter that crun compiled for the container.
  [[nodiscard]] std::filesystem::path filter_file(const std::string& id) const {
    return options_.exec_root / "crun" / id / "seccomp.bpf";
  }
  [[nodiscard]] std::filesystem::path exit_folder() const { return options_.exec_root / "exits"; }

  struct Launch {
    std::string id;
    std::filesystem::path log_path;
    bool terminal = false;
    bool standard_input = false;       // open a pipe for it
    bool keep_standard_input = false;  // when the client that wrote to it goes
    bool keep_log = true;
    std::vector<int> kept_open;  // descriptors that the monitor holds as long as it lives
  };
  struct Launched {
    ProcessId process;  // the container's first
    ProcessId monitor;
  };
  // Makes the container from its bundle, stopped before its first instruction. The error's message
  // is the runtime's. `meanwhile` is done while the runtime works, and fails the whole.
  [[nodiscard]] Result<Launched> create(const Launch& launch,
                                        const std::function<Result<void>()>& meanwhile) const;
  [[nodiscard]] Result<void> start(const std::string& id) const;
  // As start(), for a container that was made and not started: what a crash of ours between the two
  // leaves.
  [[nodiscard]] Result<void> start_if_waiting(const std::string& id) const;
  [[nodiscard]] Result<void> pause(const std::string& id) const;
  [[nodiscard]] Result<void> resume(const std::string& id) const;
  // `resources` is JSON: the section linux.resources of an OCI document.
  [[nodiscard]] Result<void> update(const std::string& id, const std::string& resources) const;
  // After a crash of ours: waits until the monitor of a container that was being made has made it,
  // so that remove() finds all of it.
  void settle(const std::string& id) const;
  // Kills what is left of it and takes its state and cgroup away; what is not there is no error.
  void remove(const std::string& id) const;

  // An additional process in a running container.
  struct ExecLaunch {
    std::string container_id;
    std::string exec_id;
    std::string process_spec;  // JSON
    bool terminal = false;
    bool standard_input = false;
  };
  struct ExecStarted {
    Fd status_pipe;  // conmon's reports: first the process id, at the end of the exec its status
    Fd attach;       // connected before the process runs
    Fd start_pipe;
    std::filesystem::path folder;
  };
  // Starts the monitor and connects to it; the process runs when begin_exec() says so.
  [[nodiscard]] Result<ExecStarted> prepare_exec(const ExecLaunch& launch) const;
  // The process's id.
  [[nodiscard]] Result<ProcessId> begin_exec(ExecStarted& exec) const;
  [[nodiscard]] std::filesystem::path exec_folder(const std::string& container_id,
                                                  const std::string& exec_id) const;

 private:
  [[nodiscard]] std::vector<std::string> monitor_arguments(const std::string& container_id,
                                                           const std::string& unit_id,
                                                           const std::filesystem::path& folder,
                                                           const std::string& log) const;
  [[nodiscard]] bool remove_state(const std::string& id) const;
  [[nodiscard]] Result<void> run_crun(std::vector<std::string> arguments) const;

  Options options_;
};

// Connects to a monitor's attach socket (a sequence of packets: one byte for the stream, data).
[[nodiscard]] Result<Fd> connect_attach_socket(const std::filesystem::path& folder);
// Both wait, for a second at most each, until the monitor has read what it was told before, and
// then this. On the event loop's thread. Has a monitor open its log file anew.
[[nodiscard]] boost::asio::awaitable<Result<void>> reopen_log(std::filesystem::path folder);
// Tells a monitor the size of its terminal.
[[nodiscard]] boost::asio::awaitable<Result<void>> resize_terminal(std::filesystem::path folder,
                                                                   int height, int width);

}  // namespace lab::engine::container
