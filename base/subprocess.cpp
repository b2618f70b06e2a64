#include "base/subprocess.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/asio/this_coro.hpp>
#include <cerrno>

#include "base/blocking.hpp"
#include "base/clock.hpp"

extern char** environ;

namespace lab {

namespace {

constexpr std::size_t kept_bytes_max = std::size_t{64} << 20;
constexpr std::chrono::milliseconds stop_check_interval{50};
constexpr std::chrono::seconds stop_grace{5};
constexpr int group_check_ms = 20;

struct Pipe {
  Fd read;
  Fd write;
};

Result<Pipe> make_pipe() {
  int fds[2];
  if (pipe2(fds, O_CLOEXEC) != 0) return errno_error(errno, "creating a pipe");
  return Pipe{Fd(fds[0]), Fd(fds[1])};
}

// argv and environment in the form execvpe wants; built before fork, because a child of a threaded
// process may not allocate.
struct ExecImage {
  std::vector<std::string> environment;
  std::vector<char*> argv_pointers;
  std::vector<char*> environment_pointers;

  explicit ExecImage(const Command& command) {
    for (char** entry = environ; *entry != nullptr; ++entry) {
      std::string_view text(*entry);
      if (!command.environment.contains(std::string(text.substr(0, text.find('=')))))
        environment.emplace_back(text);
    }
    for (const auto& [name, value] : command.environment) environment.push_back(name + "=" + value);
    for (const std::string& word : command.argv)
      argv_pointers.push_back(const_cast<char*>(word.c_str()));
    for (std::string& entry : environment) environment_pointers.push_back(entry.data());
    argv_pointers.push_back(nullptr);
    environment_pointers.push_back(nullptr);
  }
};

struct ChildSetup {
  int in;
  int out;
  int errors;
  int exec_status;  // receives errno when exec fails; closed by exec
  const char* working_directory;
  bool new_session;
};

[[noreturn]] void run_child(const ExecImage& image, const ChildSetup& setup) {
  int step_errno = 0;
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  signal(SIGPIPE, SIG_DFL);
  if (setup.new_session) {
    setsid();
  } else {
    setpgid(0, 0);
  }
  if (dup2(setup.in, 0) < 0 || dup2(setup.out, 1) < 0 || dup2(setup.errors, 2) < 0) {
    step_errno = errno;
  } else if (setup.working_directory != nullptr && chdir(setup.working_directory) != 0) {
    step_errno = errno;
  } else {
    // Everything above 2 goes at exec, also what a library opened without O_CLOEXEC.
    syscall(SYS_close_range, 3U, ~0U, 4U /* CLOSE_RANGE_CLOEXEC */);
    execvpe(image.argv_pointers[0], image.argv_pointers.data(), image.environment_pointers.data());
    step_errno = errno;
  }
  [[maybe_unused]] ssize_t told = write(setup.exec_status, &step_errno, sizeof step_errno);
  _exit(127);
}

Result<pid_t> fork_and_exec(const Command& command, int in, int out, int errors, bool new_session) {
  if (command.argv.empty()) return make_error(Code::internal, "a command without words");
  ExecImage image(command);
  LAB_TRY(Pipe status, make_pipe());
  ChildSetup setup{in,
                   out,
                   errors,
                   status.write.get(),
                   command.working_directory.empty() ? nullptr : command.working_directory.c_str(),
                   new_session};
  pid_t pid = fork();
  if (pid < 0) return errno_error(errno, "fork");
  if (pid == 0) run_child(image, setup);
  status.write.reset();
  int child_errno = 0;
  ssize_t got = 0;
  do {
    got = read(status.read.get(), &child_errno, sizeof child_errno);
  } while (got < 0 && errno == EINTR);
  if (got == sizeof child_errno) {
    waitpid(pid, nullptr, 0);
    return errno_error(child_errno, fmt::format("starting {}", command.argv[0]));
  }
  return pid;
}

int decode_status(int status) {
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void keep(std::string& to, const char* bytes, std::size_t count) {
  if (to.size() < kept_bytes_max) to.append(bytes, std::min(count, kept_bytes_max - to.size()));
}

// The parent's ends of the child's three streams, moved until the child closes them or the deadline
// passes.
class Pump {
 public:
  Pump(const Command& command, Fd in, Fd out, Fd errors)
      : command_(command), in_(std::move(in)), out_(std::move(out)), errors_(std::move(errors)) {
    fcntl(in_.get(), F_SETFL, O_NONBLOCK);
    if (command_.input.empty()) in_.reset();
  }

  // False when the deadline passed first, or a stop was asked for.
  bool run(CommandResult& result, TimePoint deadline) {
    SystemClock clock;
    while (out_ || errors_) {
      auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - clock.now()).count();
      if (command_.stop.stop_possible()) {
        if (command_.stop.stop_requested()) return false;
        left = std::min<long>(left, stop_check_interval.count());
      }
      if (left <= 0) return false;
      pollfd fds[3] = {
          {out_.get(), POLLIN, 0}, {errors_.get(), POLLIN, 0}, {in_.get(), POLLOUT, 0}};
      if (poll(fds, 3, static_cast<int>(std::min<long>(left, 60'000))) < 0 && errno != EINTR)
        return false;
      if (fds[0].revents != 0) drain(out_, result.output);
      if (fds[1].revents != 0)
        drain(errors_, command_.merge_stderr ? result.output : result.errors);
      if (fds[2].revents != 0) feed();
    }
    return true;
  }

 private:
  static void drain(Fd& fd, std::string& to) {
    char buffer[65536];
    ssize_t got = read(fd.get(), buffer, sizeof buffer);
    if (got > 0) {
      keep(to, buffer, static_cast<std::size_t>(got));
    } else if (got == 0 || (errno != EINTR && errno != EAGAIN)) {
      fd.reset();
    }
  }

  void feed() {
    ssize_t put = write(in_.get(), command_.input.data() + fed_, command_.input.size() - fed_);
    if (put > 0) fed_ += static_cast<std::size_t>(put);
    if ((put < 0 && errno != EAGAIN && errno != EINTR) || fed_ == command_.input.size())
      in_.reset();
  }

  const Command& command_;
  Fd in_;
  Fd out_;
  Fd errors_;
  std::size_t fed_ = 0;
};

// Reaps `pid`, waiting for it at most until the deadline.
bool reap(pid_t pid, int& status, TimePoint deadline) {
  Fd pidfd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0U)));
  SystemClock clock;
  for (;;) {
    if (waitpid(pid, &status, WNOHANG) == pid) return true;
    auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - clock.now()).count();
    if (left <= 0) return false;
    pollfd fd{pidfd.get(), POLLIN, 0};
    poll(&fd, 1, static_cast<int>(std::min<long>(left, pidfd ? 60'000 : 5)));
  }
}

// The whole process group ends, whether it listens to SIGTERM or not. What the child has started
// may have to clean up for longer than the child itself.
void end_group(pid_t pid, bool gently) {
  int status = 0;
  bool reaped = false;
  if (gently) {
    kill(-pid, SIGTERM);
    SystemClock clock;
    const TimePoint deadline = clock.now() + stop_grace;
    reaped = reap(pid, status, deadline);
    while (kill(-pid, 0) == 0 && clock.now() < deadline) poll(nullptr, 0, group_check_ms);
  }
  kill(-pid, SIGKILL);
  if (!reaped) waitpid(pid, &status, 0);
}

std::string last_lines(const CommandResult& result) {
  std::string_view text = result.errors.empty() ? result.output : result.errors;
  while (!text.empty() && text.back() == '\n') text.remove_suffix(1);
  std::size_t start = text.size();
  for (int line = 0; line < 5 && start != std::string_view::npos && start > 0; ++line) {
    start = text.rfind('\n', start - 1);
  }
  return std::string(start == std::string_view::npos || start == 0 ? text : text.substr(start + 1));
}

Result<std::string> check(const Command& command, Result<CommandResult> result) {
  if (!result) return std::move(result).error();
  if (result->exit_status != 0) {
    return make_error(Code::internal, "`{}` exited with status {}: {}", shell_quote(command.argv),
                      result->exit_status, last_lines(*result));
  }
  return std::move(result->output);
}

}  // namespace

Result<CommandResult> run_command(const Command& command) {
  LAB_TRY(Pipe in, make_pipe());
  LAB_TRY(Pipe out, make_pipe());
  LAB_TRY(Pipe errors, make_pipe());
  TimePoint deadline = SystemClock().now() + command.timeout;
  LAB_TRY(pid_t pid,
          fork_and_exec(command, in.read.get(), out.write.get(), errors.write.get(), false));
  in.read.reset();
  out.write.reset();
  errors.write.reset();
  CommandResult result;
  int status = 0;
  Pump pump(command, std::move(in.write), std::move(out.read), std::move(errors.read));
  bool ended = pump.run(result, deadline) && reap(pid, status, deadline);
  if (!ended) {
    const bool stopped = command.stop.stop_requested();
    end_group(pid, stopped);
    if (stopped) {
      return make_error(Code::cancelled, "`{}` was stopped", shell_quote(command.argv));
    }
    return make_error(Code::deadline_exceeded, "`{}` did not end within {} ms; its last output: {}",
                      shell_quote(command.argv), command.timeout.count(), last_lines(result));
  }
  result.exit_status = decode_status(status);
  return result;
}

Result<std::string> run_checked(const Command& command) {
  return check(command, run_command(command));
}

boost::asio::awaitable<Result<CommandResult>> async_run_command(Command command) {
  co_return co_await run_blocking<Result<CommandResult>>(
      [&command] { return run_command(command); });
}

boost::asio::awaitable<Result<std::string>> async_run_checked(Command command) {
  Result<CommandResult> result = co_await async_run_command(command);
  co_return check(command, std::move(result));
}

Result<pid_t> spawn_daemon(const Command& command, const std::string& log_path) {
  Fd in(open("/dev/null", O_RDONLY | O_CLOEXEC));
  Fd out(open(log_path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  if (!out) return errno_error(errno, fmt::format("opening log {}", log_path));
  return fork_and_exec(command, in.get(), out.get(), out.get(), true);
}

std::string shell_quote(const std::vector<std::string>& argv) {
  std::string line;
  for (const std::string& word : argv) {
    if (!line.empty()) line += ' ';
    constexpr std::string_view safe =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=./:,@%^";
    if (!word.empty() && word.find_first_not_of(safe) == std::string::npos) {
      line += word;
      continue;
    }
    line += '\'';
    for (char c : word) {
      if (c == '\'') {
        line += "'\\''";
      } else {
        line += c;
      }
    }
    line += '\'';
  }
  return line;
}

}  // namespace lab
