#include "engine/container/file_view.hpp"

#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <cerrno>
#include <thread>

namespace lab::engine::container {

namespace {

struct Bind {
  std::string source;
  std::string destination;
  bool writable = true;
};

// Parents before what lies below them.
std::vector<Bind> binds_of(const Containers& containers, const Container& container) {
  std::vector<Bind> binds;
  for (const MountPoint& mount : container.mounts) {
    if (mount.type == "tmpfs") continue;  // lives in the container's own namespace only
    binds.push_back(Bind{mount.source, mount.destination, mount.writable});
  }
  const std::filesystem::path files = containers.folder(container.id);
  for (const char* name : {"hostname", "hosts", "resolv.conf"})
    binds.push_back(Bind{(files / name).string(), std::string("/etc/") + name, true});
  std::stable_sort(binds.begin(), binds.end(), [](const Bind& a, const Bind& b) {
    return std::count(a.destination.begin(), a.destination.end(), '/') <
           std::count(b.destination.begin(), b.destination.end(), '/');
  });
  return binds;
}

Result<void> add_bind(layer::Tree& root, const Bind& bind) {
  struct stat source {};
  if (stat(bind.source.c_str(), &source) != 0) return {};  // not there before the first start
  LAB_TRY(const std::string path, layer::clean_path(bind.destination));
  if (S_ISDIR(source.st_mode)) LAB_CHECK(root.folder(path));
  Result<Fd> target = root.locate(path);
  if (!target) return {};  // a file's place that only the start makes
  const std::string place = fmt::format("/proc/self/fd/{}", target->get());
  if (mount(bind.source.c_str(), place.c_str(), nullptr, MS_BIND | MS_REC, nullptr) != 0)
    return errno_error(errno, fmt::format("mounting {} on {}", bind.source, bind.destination));
  root.forget();
  if (bind.writable) return {};
  LAB_TRY(const Fd mounted, root.locate(path));
  const std::string mounted_place = fmt::format("/proc/self/fd/{}", mounted.get());
  constexpr unsigned long flags = MS_BIND | MS_REMOUNT | MS_RDONLY;
  if (mount(nullptr, mounted_place.c_str(), nullptr, flags, nullptr) != 0)
    return errno_error(errno, fmt::format("making {} read-only", bind.destination));
  return {};
}

// On the thread.
Result<void> mount_and_use(const Containers& containers, const Container& container,
                           const UseFiles& use) {
  if (unshare(CLONE_NEWNS) != 0) return errno_error(errno, "making a mount namespace");
  if (mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0)
    return errno_error(errno, "making the mounts private");
  const RootfsPaths paths = containers.rootfs(container.id);
  LAB_TRY(const auto lowers, containers.lowers(container.id));
  LAB_CHECK(mount_rootfs(paths, lowers));
  LAB_TRY(layer::Tree root, layer::Tree::open(paths.merged.string()));
  for (const Bind& bind : binds_of(containers, container)) LAB_CHECK(add_bind(root, bind));
  return use(root);
}

}  // namespace

Result<void> with_files(const Containers& containers, const Container& container,
                        const UseFiles& use) {
  Result<void> outcome;
  std::thread thread([&] { outcome = mount_and_use(containers, container, use); });
  thread.join();
  return outcome;
}

}  // namespace lab::engine::container
