#include "vm/libvirt_session.hpp"

#include <pwd.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "base/file.hpp"
#include "base/subprocess.hpp"

namespace lab::vm {
namespace {

constexpr std::string_view session = "qemu:///session";

std::filesystem::path root_libvirt_folder() {
  const char* home = getenv("HOME");
  if (home == nullptr || *home == '\0') {
    const passwd* entry = getpwuid(geteuid());
    home = entry != nullptr ? entry->pw_dir : "/root";
  }
  return std::filesystem::path(home) / ".cache" / "libvirt";
}

std::string root_session_uri() {
  return fmt::format("{}?socket={}", session, (root_libvirt_folder() / "libvirt-sock").string());
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
  return geteuid() == 0 && uri == root_session_uri();
}

Result<void> start_root_session() {
  const std::filesystem::path folder = root_libvirt_folder();
  LAB_CHECK(make_directories(folder, 0700));
  const std::filesystem::path log = folder / "libvirtd.log";
  std::error_code ignored;
  std::filesystem::remove(log, ignored);
  Command command;
  // Without the XDG variables its files lie in one place, however root logged in.
  command.argv = {"unshare",
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
                  "libvirtd",
                  "--timeout=120"};
  const char* path = getenv("PATH");
  command.environment["PATH"] = fmt::format("{}:/usr/sbin:/sbin", path ? path : "/usr/bin:/bin");
  command.environment["HOME"] = folder.parent_path().parent_path();
  command.working_directory = "/";
  LAB_CHECK(spawn_daemon(command, log.string()));
  return {};
}

}  // namespace lab::vm
