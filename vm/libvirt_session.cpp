#include "vm/libvirt_session.hpp"

#include <fcntl.h>
#include <pwd.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <vector>

#include "base/file.hpp"

namespace lab::vm {
namespace {

constexpr std::string_view session = "qemu:///session";
constexpr const char* daemon_program = "/usr/sbin/libvirtd";

std::filesystem::path environment_folder(const char* name) {
  const char* value = getenv(name);
  return value != nullptr && *value == '/' ? std::filesystem::path(value) : std::filesystem::path();
}

std::filesystem::path cache_folder() {
  std::filesystem::path home = environment_folder("HOME");
  if (home.empty()) {
    const passwd* entry = getpwuid(geteuid());
    home = entry != nullptr ? entry->pw_dir : "/root";
  }
  return home / ".cache";
}

std::filesystem::path root_libvirt_folder() { return cache_folder() / "libvirt"; }

std::string root_session_uri() {
  return fmt::format("{}?socket={}", session, (root_libvirt_folder() / "libvirt-sock").string());
}

// Where libvirt's client looks for a user's daemon. Root's is started without the variables.
std::filesystem::path session_socket() {
  std::filesystem::path folder;
  if (geteuid() != 0) folder = environment_folder("XDG_RUNTIME_DIR");
  if (geteuid() != 0 && folder.empty()) folder = environment_folder("XDG_CACHE_HOME");
  if (folder.empty()) folder = cache_folder();
  return folder / "libvirt" / "libvirt-sock";
}

// An emulator is nobody's child when it ends, and libvirt waits until the process is gone. The
// first process of a container may take seconds to notice; so a shell takes the orphans, as their
// subreaper (that outlives exec), while it waits for the daemon.
[[noreturn]] void become_reaper(char* const* argv, int log) {
  const int null = open("/dev/null", O_RDONLY);
  dup2(null, 0);
  dup2(log, 1);
  dup2(log, 2);
  syscall(SYS_close_range, 3U, ~0U, 0U);
  setsid();
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  if (chdir("/") == 0 && prctl(PR_SET_CHILD_SUBREAPER, 1L, 0L, 0L, 0L) == 0) execvp(argv[0], argv);
  _exit(127);
}

Result<void> spawn_with_reaper(const std::vector<std::string>& command,
                               const std::filesystem::path& log) {
  std::vector<std::string> words = {"sh", "-c", "\"$@\" & wait $!", "sh"};
  words.insert(words.end(), command.begin(), command.end());
  std::vector<char*> argv;
  argv.reserve(words.size() + 1);
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  const Fd file(open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  if (!file) return errno_error(errno, log.string());
  const pid_t pid = fork();
  if (pid < 0) return errno_error(errno, "fork");
  if (pid == 0) become_reaper(argv.data(), file.get());
  return {};
}

}  // namespace

std::string settle_session_uri(const std::string& uri) {
  if (uri != session) return uri;
  if (geteuid() == 0) return root_session_uri();
  // libvirt keeps the state of a session's machines below XDG_RUNTIME_DIR. A login through `su` or
  // `sudo` lacks the variable; without this it would get another daemon that knows no machine.
  if (getenv("XDG_RUNTIME_DIR") == nullptr) {
    const std::string folder = fmt::format("/run/user/{}", geteuid());
    if (access(folder.c_str(), W_OK) == 0) setenv("XDG_RUNTIME_DIR", folder.c_str(), 0);
  }
  return uri;
}

bool session_is_ours_to_start(const std::string& uri) {
  if (geteuid() == 0) return uri == root_session_uri();
  // A distribution with another daemon is left to libvirt's client.
  return uri == session && access(daemon_program, X_OK) == 0;
}

bool session_answers() {
  const std::string path = session_socket();
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return true;  // libvirt will say so
  path.copy(address.sun_path, path.size());
  const Fd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  return connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
}

std::filesystem::path session_log_path(std::string_view domain_name) {
  std::filesystem::path folder;
  if (geteuid() != 0) folder = environment_folder("XDG_CACHE_HOME");
  if (folder.empty()) folder = cache_folder();
  return folder / "libvirt" / "qemu" / "log" / fmt::format("{}.log", domain_name);
}

Result<void> start_session() {
  const std::filesystem::path folder = root_libvirt_folder();
  LAB_CHECK(make_directories(folder, 0700));
  const std::filesystem::path log = folder / "libvirtd.log";
  std::error_code ignored;
  std::filesystem::remove(log, ignored);
  const char* path = getenv("PATH");
  std::vector<std::string> command = {
      "env", fmt::format("PATH={}:/usr/sbin:/sbin", path ? path : "/usr/bin:/bin"), daemon_program,
      "--timeout=120"};
  if (geteuid() != 0) return spawn_with_reaper(command, log);
  // Without the XDG variables its files lie in one place, however root logged in.
  const std::vector<std::string> as_user = {
      "unshare",
      "--user",
      "--map-user=1000",
      "--map-group=1000",
      "env",
      "-u",
      "XDG_RUNTIME_DIR",
      "-u",
      "XDG_CONFIG_HOME",
      "-u",
      "XDG_CACHE_HOME",
      fmt::format("HOME={}", folder.parent_path().parent_path().string())};
  command.insert(command.begin(), as_user.begin(), as_user.end());
  return spawn_with_reaper(command, log);
}

}  // namespace lab::vm
