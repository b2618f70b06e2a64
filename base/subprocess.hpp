// Child processes. No shell in between unless the caller names one, every descriptor but 0-2
// closed, its own process group (so that Ctrl-C at a terminal reaches only us and a kill reaches
// the whole group).
#pragma once

#include <sys/types.h>

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <map>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "base/file.hpp"

namespace lab {

struct Command {
  std::vector<std::string> argv;                   // argv[0] is looked up in PATH
  std::string input;                               // fed to standard input, which is then closed
  std::map<std::string, std::string> environment;  // added to ours
  std::string working_directory;                   // empty: ours
  std::chrono::milliseconds timeout{
      60'000};                // then SIGKILL to the group and Code::deadline_exceeded
  bool merge_stderr = false;  // standard error goes into `output` too
  // Once asked to stop: SIGTERM to the group, SIGKILL 5 s later, and Code::cancelled.
  std::stop_token stop;
};

struct CommandResult {
  int exit_status = 0;  // 128 + signal when killed by one
  std::string output;   // standard output, at most 64 MiB kept
  std::string errors;   // standard error
};

// Runs to the end and gives what came of it, whatever the exit status. An error means that it could
// not be started or did not end in time.
[[nodiscard]] Result<CommandResult> run_command(const Command& command);

// As run_command, and an exit status other than 0 is an error too: it names the command, the status
// and the last lines of its output. Gives standard output.
[[nodiscard]] Result<std::string> run_checked(const Command& command);

// The same without blocking the event loop of the calling coroutine.
[[nodiscard]] boost::asio::awaitable<Result<CommandResult>> async_run_command(Command command);
[[nodiscard]] boost::asio::awaitable<Result<std::string>> async_run_checked(Command command);

// Starts a process that outlives us if need be: own session, standard input /dev/null, output and
// errors appended to `log_path` (created 0600). Gives its process id.
[[nodiscard]] Result<pid_t> spawn_daemon(const Command& command, const std::string& log_path);

// A word list as a POSIX shell would have to see it.
[[nodiscard]] std::string shell_quote(const std::vector<std::string>& argv);

}  // namespace lab
