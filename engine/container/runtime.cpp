#include "engine/container/runtime.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cerrno>
#include <charconv>

#include "base/clock.hpp"
#include "base/log.hpp"
#include "base/subprocess.hpp"
#include "engine/util/json.hpp"
#include "engine/util/spawn.hpp"

namespace lab::engine::container {

namespace {

constexpr int monitor_timeout_ms = 120'000;

std::vector<std::pair<std::string, std::string>> monitor_environment() {
  return {{"PATH", search_path()}, {"_OCI_SYNCPIPE", "3"}};
}

// conmon's launcher ends as soon as the monitor itself runs in the background.
void reap(pid_t pid) {
  while (waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
  }
}

// What the monitor and the runtime print before the container is there.
constexpr const char* monitor_log = "monitor.log";

Result<Fd> open_monitor_log(const std::filesystem::path& folder) {
  std::filesystem::path path = folder / monitor_log;
  Fd fd(open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600));
  if (!fd) return errno_error(errno, fmt::format("opening {}", path.string()));
  return fd;
}

// A report of the monitor: {"data": NUMBER, "message": TEXT}; a negative number is a failure.
Result<pid_t> parse_report(const std::string& line, const std::filesystem::path& folder) {
  if (line.empty()) {
    Result<std::string> said = read_file(folder / monitor_log, 1 << 16);
    return make_error(Code::internal, "the container's monitor ended early: {}",
                      said ? *said : said.error().message);
  }
  Result<boost::json::object> report = parse_object(line);
  if (!report) return make_error(Code::internal, "the monitor said \"{}\"", line);
  std::int64_t number = integer_of(*report, "data", -1);
  if (number > 0) return static_cast<pid_t>(number);
  std::string message = text_of(*report, "message");
  while (!message.empty() && (message.back() == '\n' || message.back() == '\r')) message.pop_back();
  return make_error(Code::internal, "{}", message.empty() ? "the runtime failed" : message);
}

Result<pid_t> read_pid_file(const std::filesystem::path& path) {
  LAB_TRY(std::string text, read_file(path, 64));
  pid_t pid = 0;
  std::from_chars(text.data(), text.data() + text.size(), pid);
  if (pid <= 0) return make_error(Code::internal, "{} holds no process id", path.string());
  return pid;
}

// A Unix address for NAME in the folder behind `folder`: folders' own paths may be too long.
sockaddr_un address_in(int folder, const char* name) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  auto end = fmt::format_to_n(address.sun_path, sizeof address.sun_path - 1, "/proc/self/fd/{}/{}",
                              folder, name);
  *end.out = '\0';
  return address;
}

}  // namespace

ProcessId identify(pid_t pid) {
  ProcessId process{pid, 0};
  Result<std::string> stat = read_file(fmt::format("/proc/{}/stat", pid), 4096);
  if (!stat) return process;
  // The name in parentheses may hold anything; fields are counted behind it. 22 is the 20th there.
  std::size_t at = stat->rfind(')');
  if (at == std::string::npos) return process;
  ++at;
  for (int field = 0; field < 19 && at != std::string::npos; ++field) {
    at = stat->find(' ', at + 1);
  }
  if (at == std::string::npos) return process;
  if ((*stat)[stat->rfind(')') + 2] == 'Z') return process;
  std::from_chars(stat->data() + at + 1, stat->data() + stat->size(), process.start_ticks);
  return process;
}

bool ProcessId::alive() const {
  return pid > 0 && start_ticks != 0 && identify(pid).start_ticks == start_ticks;
}

Result<void> send_signal(const ProcessId& process, int signal) {
  Fd fd(static_cast<int>(syscall(SYS_pidfd_open, process.pid, 0U)));
  if (!fd || !process.alive())
    return make_error(Code::not_found, "process {} has ended", process.pid);
  if (syscall(SYS_pidfd_send_signal, fd.get(), signal, nullptr, 0U) != 0) {
    if (errno == ESRCH) return make_error(Code::not_found, "process {} has ended", process.pid);
    return errno_error(errno, fmt::format("sending signal {} to {}", signal, process.pid));
  }
  return {};
}

std::filesystem::path Runtime::bundle(const std::string& id) const {
  return options_.exec_root / "bundles" / id;
}

std::filesystem::path Runtime::exec_folder(const std::string& container_id,
                                           const std::string& exec_id) const {
  return bundle(container_id) / "exec" / exec_id;
}

Result<void> Runtime::prepare_folders() const {
  LAB_CHECK(make_directories(options_.exec_root, 0711));
  LAB_CHECK(make_directories(options_.exec_root / "bundles", 0700));
  LAB_CHECK(make_directories(options_.exec_root / "crun", 0700));
  return make_directories(exit_folder(), 0700);
}

std::vector<std::string> Runtime::monitor_arguments(const std::string& container_id,
                                                    const std::string& unit_id,
                                                    const std::filesystem::path& folder,
                                                    const std::string& log) const {
  return {options_.conmon,
          "--api-version",
          "1",
          "-c",
          container_id,
          "-u",
          unit_id,
          "-r",
          options_.crun,
          "-b",
          folder.string(),
          "-p",
          (folder / "pid").string(),
          "-P",
          (folder / "monitor.pid").string(),
          "-n",
          unit_id.substr(0, 12),
          "--persist-dir",
          folder.string(),
          "--full-attach",
          "-l",
          log,
          "--log-level",
          "error",
          "--no-sync-log",
          "--runtime-arg",
          "--root",
          "--runtime-arg",
          (options_.exec_root / "crun").string()};
}

Result<Runtime::Launched> Runtime::create(const Launch& launch,
                                          const std::function<Result<void>()>& meanwhile) const {
  std::filesystem::path folder = bundle(launch.id);
  std::error_code ignored;
  std::filesystem::remove(exit_folder() / launch.id, ignored);
  Spawn child;
  child.argv = monitor_arguments(launch.id, launch.id, folder,
                                 launch.keep_log ? "k8s-file:" + launch.log_path.string() : "none");
  child.argv.insert(child.argv.end(), {"--exit-dir", exit_folder().string()});
  if (launch.terminal) child.argv.emplace_back("-t");
  if (launch.standard_input) child.argv.emplace_back("-i");
  if (launch.keep_standard_input) child.argv.emplace_back("--leave-stdin-open");
  child.environment = monitor_environment();
  LAB_TRY(Fd errors, open_monitor_log(folder));
  child.standard_error = errors.get();
  LAB_TRY(Pipe sync, make_pipe());
  child.inherited = {sync.write.get()};
  child.inherited.insert(child.inherited.end(), launch.kept_open.begin(), launch.kept_open.end());
  LAB_TRY(pid_t launcher, spawn(child));
  sync.write.reset();
  Result<void> done = meanwhile();
  reap(launcher);
  std::string rest;
  LAB_TRY(std::string line, read_line(sync.read.get(), rest, monitor_timeout_ms));
  LAB_TRY(pid_t pid, parse_report(line, folder));
  LAB_CHECK(done);
  LAB_TRY(pid_t monitor, read_pid_file(folder / "monitor.pid"));
  return Launched{identify(pid), identify(monitor)};
}

Result<void> Runtime::run_crun(std::vector<std::string> arguments) const {
  Command command;
  command.argv = {options_.crun, "--root", (options_.exec_root / "crun").string()};
  for (std::string& argument : arguments) command.argv.push_back(std::move(argument));
  command.environment["PATH"] = search_path();
  LAB_TRY(CommandResult result, run_command(command));
  if (result.exit_status == 0) return {};
  while (!result.errors.empty() && result.errors.back() == '\n') result.errors.pop_back();
  return make_error(Code::internal, "{}", result.errors);
}

// What `crun start` does, without the process: one byte into the pipe on which the container's
// first process waits. runc, whose containers have no file "status", turns the pipe around.
Result<void> Runtime::start(const std::string& id) const {
  const std::filesystem::path folder = options_.exec_root / "crun" / id;
  std::error_code ignored;
  if (!std::filesystem::exists(folder / "status", ignored)) return run_crun({"start", id});
  const std::filesystem::path pipe = folder / "exec.fifo";
  Fd fd(open(pipe.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC));
  if (!fd && errno != ENXIO) return errno_error(errno, fmt::format("opening {}", pipe.string()));
  // Without a reader the process has ended, or went on before a crash of ours: its monitor knows.
  if (fd && write(fd.get(), "0", 1) != 1)
    return errno_error(errno, fmt::format("writing to {}", pipe.string()));
  std::filesystem::remove(pipe, ignored);  // crun takes it for the sign that nothing ran yet
  return {};
}

Result<void> Runtime::start_if_waiting(const std::string& id) const {
  std::error_code ignored;
  if (!std::filesystem::exists(options_.exec_root / "crun" / id / "exec.fifo", ignored)) return {};
  return start(id);
}

Result<void> Runtime::pause(const std::string& id) const { return run_crun({"pause", id}); }
Result<void> Runtime::resume(const std::string& id) const { return run_crun({"resume", id}); }

Result<void> Runtime::update(const std::string& id, const std::string& resources) const {
  const std::filesystem::path file = bundle(id) / "resources.json";
  LAB_CHECK(write_file(file, resources, 0600));
  return run_crun({"update", "--resources", file.string(), id});
}

void Runtime::settle(const std::string& id) const {
  Result<pid_t> monitor = read_pid_file(bundle(id) / "monitor.pid");
  if (!monitor) return;
  const Fd ended(static_cast<int>(syscall(SYS_pidfd_open, *monitor, 0U)));
  const std::filesystem::path state = options_.exec_root / "crun" / id;
  constexpr int poll_ms = 10;
  std::error_code ignored;
  for (int waited_ms = 0; ended && waited_ms < monitor_timeout_ms; waited_ms += poll_ms) {
    for (const char* of_runtime : {"status", "state.json"}) {
      if (std::filesystem::exists(state / of_runtime, ignored)) return;
    }
    pollfd waiting{ended.get(), POLLIN, 0};
    if (poll(&waiting, 1, poll_ms) > 0) return;
  }
}

// What `crun delete` does for a container whose processes are gone, without the process. False when
// it is not as simple as that: the container is runc's, its cgroups are systemd's, or processes or
// cgroups of its own are left in them.
bool Runtime::remove_state(const std::string& id) const {
  const std::filesystem::path folder = options_.exec_root / "crun" / id;
  Result<std::string> text = read_file(folder / "status", 1 << 20);
  if (!text) return false;
  Result<boost::json::object> status = parse_object(*text);
  if (!status || flag_of(*status, "systemd-cgroup")) return false;
  const std::string cgroup = text_of(*status, "cgroup-path");
  if (cgroup.size() < 2 || cgroup.front() != '/') return false;
  const std::string top = "/sys/fs/cgroup";
  std::vector<std::string> paths{top + cgroup};
  std::error_code failure;
  for (const auto& hierarchy : std::filesystem::directory_iterator(top, failure)) {
    if (hierarchy.is_directory(failure)) paths.push_back(hierarchy.path().string() + cgroup);
  }
  for (const std::string& path : paths) {
    if (rmdir(path.c_str()) != 0 && errno != ENOENT && errno != ENOTDIR) return false;
  }
  std::filesystem::remove_all(folder, failure);
  return !failure;
}

void Runtime::remove(const std::string& id) const {
  std::error_code ignored;
  if (std::filesystem::exists(options_.exec_root / "crun" / id, ignored) && !remove_state(id)) {
    if (Result<void> done = run_crun({"delete", "--force", id}); !done)
      log::warning("removing runtime state of {}: {}", id.substr(0, 12), done.error().message);
  }
  std::filesystem::remove_all(bundle(id), ignored);
}

Result<Runtime::ExecStarted> Runtime::prepare_exec(const ExecLaunch& launch) const {
  std::filesystem::path folder = exec_folder(launch.container_id, launch.exec_id);
  LAB_CHECK(make_directories(folder, 0700));
  std::filesystem::path spec = folder / "process.json";
  LAB_CHECK(write_file(spec, launch.process_spec, 0600));
  Spawn child;
  child.argv = monitor_arguments(launch.container_id, launch.exec_id, folder, "none");
  child.argv.insert(child.argv.end(), {"-e", "--exec-attach", "--exec-process-spec", spec.string(),
                                       "--exit-dir", folder.string()});
  if (launch.terminal) child.argv.emplace_back("-t");
  if (launch.standard_input) child.argv.emplace_back("-i");
  child.environment = monitor_environment();
  child.environment.emplace_back("_OCI_STARTPIPE", "4");
  child.environment.emplace_back("_OCI_ATTACHPIPE", "5");
  LAB_TRY(Fd errors, open_monitor_log(folder));
  child.standard_error = errors.get();
  LAB_TRY(Pipe sync, make_pipe());
  LAB_TRY(Pipe start, make_pipe());
  LAB_TRY(Pipe attach, make_pipe());
  child.inherited = {sync.write.get(), start.read.get(), attach.write.get()};
  LAB_TRY(pid_t launcher, spawn(child));
  sync.write.reset();
  start.read.reset();
  attach.write.reset();
  // The first byte lets the monitor go on, the second one the process.
  if (write(start.write.get(), "0", 1) != 1) return errno_error(errno, "writing to the monitor");
  reap(launcher);
  std::string rest;
  LAB_TRY(std::string ready, read_line(attach.read.get(), rest, monitor_timeout_ms));
  if (ready.empty()) return make_error(Code::internal, "the exec's monitor ended without a word");
  ExecStarted started;
  started.folder = folder;
  LAB_TRY(started.attach, connect_attach_socket(folder));
  started.status_pipe = std::move(sync.read);
  started.start_pipe = std::move(start.write);
  return started;
}

Result<ProcessId> Runtime::begin_exec(ExecStarted& exec) const {
  if (write(exec.start_pipe.get(), "0", 1) != 1)
    return errno_error(errno, "writing to the monitor");
  exec.start_pipe.reset();
  std::string rest;
  LAB_TRY(std::string line, read_line(exec.status_pipe.get(), rest, monitor_timeout_ms));
  LAB_TRY(pid_t pid, parse_report(line, exec.folder));
  return identify(pid);
}

Result<Fd> connect_attach_socket(const std::filesystem::path& folder) {
  Fd at(open(folder.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!at) return errno_error(errno, fmt::format("opening {}", folder.string()));
  sockaddr_un address = address_in(at.get(), "attach");
  Fd socket_fd(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (!socket_fd) return errno_error(errno, "opening a socket");
  if (connect(socket_fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
    return errno_error(errno, "connecting to the monitor");
  return socket_fd;
}

namespace {

constexpr std::chrono::milliseconds monitor_busy_max{1000};
constexpr std::chrono::milliseconds look_again{1};

// Bytes that nobody has read yet from a named pipe; 0 when there is no such pipe.
int unread_in(const std::filesystem::path& pipe) {
  Fd end(open(pipe.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC));
  int bytes = 0;
  if (!end || ioctl(end.get(), FIONREAD, &bytes) != 0) return 0;
  return bytes;
}

// conmon (2.1) reads all that waits in its control, and in the pipe through which it hands sizes on
// to itself, at once, and takes the first of several lines again and again: the last would be lost.
bool is_busy(const std::filesystem::path& folder) {
  return unread_in(folder / "ctl") + unread_in(folder / "winsz") > 0;
}

boost::asio::awaitable<void> wait_while_busy(const std::filesystem::path& folder) {
  const SystemClock clock;
  const TimePoint deadline = clock.now() + monitor_busy_max;
  boost::asio::steady_timer timer(co_await boost::asio::this_coro::executor);
  while (is_busy(folder) && clock.now() < deadline) {
    timer.expires_after(look_again);
    co_await timer.async_wait(boost::asio::as_tuple(boost::asio::use_awaitable));
  }
}

// "COMMAND HEIGHT WIDTH": what a monitor takes from its control.
boost::asio::awaitable<Result<void>> command_monitor(std::filesystem::path folder, int command,
                                                     int height, int width) {
  co_await wait_while_busy(folder);
  Fd fifo(open((folder / "ctl").c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC));
  if (!fifo) co_return errno_error(errno, "opening the monitor's control");
  const std::string line = fmt::format("{} {} {}\n", command, height, width);
  if (write(fifo.get(), line.data(), line.size()) < 0)
    co_return errno_error(errno, "writing to the monitor's control");
  co_await wait_while_busy(folder);
  co_return Result<void>();
}

}  // namespace

boost::asio::awaitable<Result<void>> resize_terminal(std::filesystem::path folder, int height,
                                                     int width) {
  return command_monitor(std::move(folder), 1, height, width);
}

boost::asio::awaitable<Result<void>> reopen_log(std::filesystem::path folder) {
  return command_monitor(std::move(folder), 2, 0, 0);
}

}  // namespace lab::engine::container
