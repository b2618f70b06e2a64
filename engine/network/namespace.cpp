#include "engine/network/namespace.hpp"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

namespace lab::engine::network {

namespace {

constexpr const char* own_namespace = "/proc/thread-self/ns/net";

// A thread that cannot get back to its namespace must not serve anybody else.
void return_to(const Fd& home) {
  if (setns(home.get(), CLONE_NEWNET) != 0) std::abort();
}

Result<void> run_in_new(const std::filesystem::path& path,
                        const std::function<Result<void>()>& inside) {
  if (unshare(CLONE_NEWNET) != 0) return errno_error(errno, "creating a network namespace");
  if (mount(own_namespace, path.c_str(), nullptr, MS_BIND, nullptr) != 0)
    return errno_error(errno, fmt::format("mounting {}", path.string()));
  return inside();
}

}  // namespace

Result<void> create_namespace(const std::filesystem::path& path,
                              const std::function<Result<void>()>& inside) {
  Fd home(open(own_namespace, O_RDONLY | O_CLOEXEC));
  if (!home) return errno_error(errno, "opening the own network namespace");
  Fd target(open(path.c_str(), O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444));
  if (!target) return errno_error(errno, fmt::format("creating {}", path.string()));
  target.reset();
  Result<void> done = run_in_new(path, inside);
  return_to(home);
  if (!done) remove_namespace(path);
  return done;
}

Result<void> inside_namespace(const std::filesystem::path& path,
                              const std::function<Result<void>()>& inside) {
  Fd home(open(own_namespace, O_RDONLY | O_CLOEXEC));
  if (!home) return errno_error(errno, "opening the own network namespace");
  Fd target(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!target) return errno_error(errno, fmt::format("opening {}", path.string()));
  if (setns(target.get(), CLONE_NEWNET) != 0)
    return errno_error(errno, fmt::format("entering {}", path.string()));
  Result<void> done = inside();
  return_to(home);
  return done;
}

void remove_namespace(const std::filesystem::path& path) {
  umount2(path.c_str(), MNT_DETACH);
  unlink(path.c_str());
}

}  // namespace lab::engine::network
