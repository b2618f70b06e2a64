#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <vector>

#include "base/clock.hpp"
#include "base/file.hpp"
#include "scenarios/shell.hpp"

extern char** environ;

namespace lab::scenarios {

namespace {

using std::chrono::milliseconds;

class ProcessChannel final : public Channel {
 public:
  ProcessChannel(Fd input, Fd output, pid_t process)
      : input_(std::move(input)), output_(std::move(output)), process_(process) {}
  ProcessChannel(const ProcessChannel&) = delete;
  ProcessChannel& operator=(const ProcessChannel&) = delete;
  ~ProcessChannel() override {
    kill(-process_, SIGKILL);
    while (waitpid(process_, nullptr, 0) < 0 && errno == EINTR) {
    }
  }

  Result<void> write(std::string_view bytes, milliseconds timeout) override {
    SystemClock clock;
    const TimePoint deadline = clock.now() + timeout;
    while (!bytes.empty()) {
      const ssize_t sent = send(input_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent >= 0) {
        bytes.remove_prefix(static_cast<std::size_t>(sent));
      } else if (errno == EAGAIN) {
        const auto left = std::chrono::duration_cast<milliseconds>(deadline - clock.now());
        LAB_CHECK(wait(input_.get(), POLLOUT, left));
      } else if (errno != EINTR) {
        return errno_error(errno, "writing to the shell");
      }
    }
    return {};
  }

  Result<std::string> read_some(milliseconds timeout) override {
    std::string piece(65536, '\0');
    for (;;) {
      LAB_CHECK(wait(output_.get(), POLLIN, timeout));
      const ssize_t got = read(output_.get(), piece.data(), piece.size());
      if (got < 0 && (errno == EINTR || errno == EAGAIN)) continue;
      if (got < 0) return errno_error(errno, "reading from the shell");
      piece.resize(static_cast<std::size_t>(got));
      return piece;
    }
  }

  void kill_group(long group) override {
    // The group that the shell tells is ours unless it is wrapped (sudo, nsenter into a pid
    // namespace), and then its number means nothing here.
    if (group == process_) kill(-process_, SIGKILL);
  }

 private:
  static Result<void> wait(int fd, short events, milliseconds timeout) {
    pollfd poller{fd, events, 0};
    const int ready =
        poll(&poller, 1, static_cast<int>(std::max<std::int64_t>(timeout.count(), 0)));
    if (ready == 0) return make_error(Code::deadline_exceeded, "the shell says nothing");
    if (ready < 0 && errno != EINTR) return errno_error(errno, "waiting for the shell");
    return {};
  }

  Fd input_;   // a socket, so that writing to a dead shell raises no signal
  Fd output_;  // a pipe, which programs can open again as /dev/stdout
  pid_t process_;
};

}  // namespace

Result<std::unique_ptr<Channel>> spawn_channel(const std::vector<std::string>& argv) {
  int in[2];
  int out[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, in) != 0) {
    return errno_error(errno, "making a socket pair");
  }
  Fd input(in[0]);
  Fd their_input(in[1]);
  if (pipe2(out, O_CLOEXEC) != 0) return errno_error(errno, "making a pipe");
  Fd output(out[0]);
  Fd their_output(out[1]);
  fcntl(input.get(), F_SETFL, O_NONBLOCK);
  fcntl(output.get(), F_SETFL, O_NONBLOCK);

  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, their_input.get(), 0);
  for (int fd : {1, 2}) posix_spawn_file_actions_adddup2(&actions, their_output.get(), fd);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK);
  posix_spawnattr_setpgroup(&attributes, 0);
  sigset_t none;
  sigemptyset(&none);
  posix_spawnattr_setsigmask(&attributes, &none);

  std::vector<char*> words;
  for (const std::string& word : argv) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  pid_t process = 0;
  const int error = posix_spawnp(&process, words[0], &actions, &attributes, words.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  if (error != 0) return errno_error(error, fmt::format("starting {}", argv[0]));
  return std::unique_ptr<Channel>(
      std::make_unique<ProcessChannel>(std::move(input), std::move(output), process));
}

}  // namespace lab::scenarios
