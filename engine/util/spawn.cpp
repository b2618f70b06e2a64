#include "engine/util/spawn.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "base/clock.hpp"

namespace lab::engine {

namespace {

struct FileActions {
  FileActions() { posix_spawn_file_actions_init(&actions); }
  FileActions(const FileActions&) = delete;
  FileActions& operator=(const FileActions&) = delete;
  ~FileActions() { posix_spawn_file_actions_destroy(&actions); }
  posix_spawn_file_actions_t actions;
};

struct Attributes {
  Attributes() { posix_spawnattr_init(&attributes); }
  Attributes(const Attributes&) = delete;
  Attributes& operator=(const Attributes&) = delete;
  ~Attributes() { posix_spawnattr_destroy(&attributes); }
  posix_spawnattr_t attributes;
};

void set_signals(posix_spawnattr_t* attributes) {
  sigset_t none;
  sigset_t all;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawnattr_setsigmask(attributes, &none);
  posix_spawnattr_setsigdefault(attributes, &all);
  posix_spawnattr_setflags(
      attributes,
      static_cast<short>(POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF));
}

}  // namespace

Result<Pipe> make_pipe() {
  int fds[2];
  if (pipe2(fds, O_CLOEXEC) != 0) return errno_error(errno, "creating a pipe");
  return Pipe{Fd(fds[0]), Fd(fds[1])};
}

Result<pid_t> spawn(const Spawn& child) {
  FileActions files;
  posix_spawn_file_actions_t* actions = &files.actions;
  posix_spawn_file_actions_addopen(actions, 0, "/dev/null", O_RDWR, 0);
  posix_spawn_file_actions_adddup2(actions, 0, 1);
  posix_spawn_file_actions_adddup2(actions, child.standard_error >= 0 ? child.standard_error : 0,
                                   2);
  // Through high numbers first, so that no target overwrites a source.
  std::vector<Fd> high;
  int count = static_cast<int>(child.inherited.size());
  for (int fd : child.inherited) {
    high.emplace_back(fcntl(fd, F_DUPFD_CLOEXEC, 100));
    if (!high.back()) return errno_error(errno, "duplicating a descriptor");
  }
  for (int i = 0; i < count; ++i)
    posix_spawn_file_actions_adddup2(actions, high[static_cast<std::size_t>(i)].get(), 3 + i);
  posix_spawn_file_actions_addclosefrom_np(actions, 3 + count);
  Attributes attributes;
  set_signals(&attributes.attributes);
  std::vector<char*> argv;
  for (const std::string& word : child.argv) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  std::vector<std::string> variables;
  for (const auto& [name, value] : child.environment) variables.push_back(name + "=" + value);
  std::vector<char*> environment;
  for (std::string& variable : variables) environment.push_back(variable.data());
  environment.push_back(nullptr);
  pid_t pid = 0;
  int failure =
      posix_spawnp(&pid, argv[0], actions, &attributes.attributes, argv.data(), environment.data());
  if (failure != 0) return errno_error(failure, fmt::format("starting {}", child.argv[0]));
  return pid;
}

std::string search_path() {
  const char* own = std::getenv("PATH");
  std::string path = own != nullptr ? own : "";
  return path + ":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
}

Result<std::string> find_program(const std::string& name) {
  if (name.find('/') != std::string::npos) return name;
  std::string path = search_path();
  std::string_view left = path;
  while (!left.empty()) {
    std::size_t end = std::min(left.find(':'), left.size());
    std::string candidate = fmt::format("{}/{}", left.substr(0, end), name);
    if (end > 0 && access(candidate.c_str(), X_OK) == 0) return candidate;
    left.remove_prefix(std::min(end + 1, left.size()));
  }
  return make_error(Code::not_found, "program {} not found in {}", name, path);
}

Result<std::string> read_line(int fd, std::string& rest, int timeout_ms) {
  SystemClock clock;
  TimePoint deadline = clock.now() + std::chrono::milliseconds(timeout_ms);
  for (;;) {
    if (std::size_t end = rest.find('\n'); end != std::string::npos) {
      std::string line = rest.substr(0, end);
      rest.erase(0, end + 1);
      return line;
    }
    auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - clock.now()).count();
    if (left <= 0) return make_error(Code::deadline_exceeded, "no answer in {} ms", timeout_ms);
    pollfd waiting{fd, POLLIN, 0};
    if (poll(&waiting, 1, static_cast<int>(left)) < 0 && errno != EINTR)
      return errno_error(errno, "waiting for a pipe");
    if (waiting.revents == 0) continue;
    char buffer[4096];
    ssize_t got = read(fd, buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errno_error(errno, "reading a pipe");
    if (got == 0) return std::exchange(rest, {});
    rest.append(buffer, static_cast<std::size_t>(got));
  }
}

}  // namespace lab::engine
