#include "engine/container/rootfs.hpp"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <set>

#include "base/file.hpp"
#include "base/log.hpp"
#include "engine/container/mounts.hpp"

namespace lab::engine::container {

namespace {

constexpr std::size_t file_bytes_max = std::size_t{1} << 20;

Result<Fd> open_in_root(const std::filesystem::path& root, std::string_view path, int flags) {
  Fd at(open(root.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!at) return errno_error(errno, fmt::format("opening {}", root.string()));
  open_how how{};
  how.flags = static_cast<std::uint64_t>(flags | O_CLOEXEC);
  how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
  Fd fd(static_cast<int>(
      syscall(SYS_openat2, at.get(), std::string(path).c_str(), &how, sizeof how)));
  if (!fd) return errno_error(errno, fmt::format("opening {} in the container", path));
  return fd;
}

Result<std::filesystem::path> path_of(const Fd& fd) {
  char path[PATH_MAX];
  ssize_t length = readlink(fmt::format("/proc/self/fd/{}", fd.get()).c_str(), path, sizeof path);
  if (length <= 0 || length == static_cast<ssize_t>(sizeof path))
    return errno_error(errno, "finding the path of a folder");
  return std::filesystem::path(std::string(path, static_cast<std::size_t>(length)));
}

bool is_mount_point(const std::filesystem::path& path) {
  struct stat own {};
  struct stat parent {};
  return stat(path.c_str(), &own) == 0 && stat(path.parent_path().c_str(), &parent) == 0 &&
         own.st_dev != parent.st_dev;
}

}  // namespace

RootfsPaths rootfs_paths(const std::filesystem::path& data_root, const std::string& id) {
  std::filesystem::path base = data_root / "overlay" / id;
  return RootfsPaths{base / "diff", base / "work", base / "merged"};
}

Result<std::filesystem::path> make_base_layer(const std::filesystem::path& data_root) {
  std::filesystem::path base = data_root / "base";
  for (const char* folder : {"dev/pts", "dev/shm", "etc", "proc", "sys"})
    LAB_CHECK(make_directories(base / folder));
  for (const char* file :
       {".dockerenv", "dev/console", "etc/hostname", "etc/hosts", "etc/resolv.conf"}) {
    std::error_code ignored;
    if (!std::filesystem::exists(base / file, ignored))
      LAB_CHECK(write_file(base / file, "", 0755));
  }
  std::error_code failure;
  if (!std::filesystem::is_symlink(base / "etc/mtab", failure))
    std::filesystem::create_symlink("/proc/mounts", base / "etc/mtab", failure);
  if (!failure) return base;
  return make_error(Code::internal, "creating {}: {}", (base / "etc/mtab").string(),
                    failure.message());
}

Result<void> mount_rootfs(const RootfsPaths& paths,
                          const std::vector<std::filesystem::path>& lowers) {
  LAB_CHECK(make_directories(paths.upper));
  LAB_CHECK(make_directories(paths.work, 0700));
  LAB_CHECK(make_directories(paths.merged));
  if (is_mount_point(paths.merged)) return {};
  std::string options = "lowerdir=";
  for (std::size_t i = 0; i < lowers.size(); ++i) {
    if (i > 0) options += ':';
    options += lowers[i].string();
  }
  if (lowers.empty()) {  // an image without layers: an empty folder stands for them
    std::filesystem::path empty = paths.upper.parent_path() / "empty";
    LAB_CHECK(make_directories(empty));
    options += empty.string();
  }
  options += fmt::format(",upperdir={},workdir={}", paths.upper.string(), paths.work.string());
  if (options.size() >= static_cast<std::size_t>(sysconf(_SC_PAGESIZE))) {
    return make_error(Code::internal, "the image has too many layers ({}) for one overlay mount",
                      lowers.size());
  }
  if (mount("overlay", paths.merged.c_str(), "overlay", 0, options.c_str()) != 0)
    return errno_error(errno, fmt::format("mounting overlay on {}", paths.merged.string()));
  return {};
}

void unmount_rootfs(const RootfsPaths& paths) {
  // EINVAL: not mounted. A container's leftovers may still be inside, so the mount is detached.
  if (umount2(paths.merged.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) != 0 && errno != EINVAL &&
      errno != ENOENT)
    log::warning("{}", errno_error(errno, "unmounting " + paths.merged.string()).message);
}

Result<void> remove_rootfs(const RootfsPaths& paths) {
  unmount_rootfs(paths);
  std::error_code failure;
  std::filesystem::remove_all(paths.upper.parent_path(), failure);
  if (failure) {
    return make_error(Code::internal, "removing {}: {}", paths.upper.parent_path().string(),
                      failure.message());
  }
  return {};
}

std::uint64_t folder_size_bytes(const std::filesystem::path& folder) {
  std::uint64_t bytes = 0;
  std::set<std::pair<dev_t, ino_t>> seen;
  std::error_code ignored;
  for (auto entry = std::filesystem::recursive_directory_iterator(folder, ignored);
       entry != std::filesystem::recursive_directory_iterator(); entry.increment(ignored)) {
    struct stat info {};
    if (lstat(entry->path().c_str(), &info) != 0) continue;
    if (S_ISDIR(info.st_mode) || S_ISCHR(info.st_mode)) continue;
    if (info.st_nlink > 1 && !seen.emplace(info.st_dev, info.st_ino).second) continue;
    bytes += static_cast<std::uint64_t>(info.st_size);
  }
  return bytes;
}

Result<std::string> read_file_in_root(const std::filesystem::path& root, std::string_view path) {
  LAB_TRY(Fd fd, open_in_root(root, path, O_RDONLY | O_NONBLOCK));
  struct stat info {};
  if (fstat(fd.get(), &info) != 0 || !S_ISREG(info.st_mode))
    return make_error(Code::invalid_argument, "{} in the container is not a file", path);
  std::string content;
  char buffer[65536];
  ssize_t got = 0;
  while ((got = read(fd.get(), buffer, sizeof buffer)) > 0) {
    content.append(buffer, static_cast<std::size_t>(got));
    if (content.size() > file_bytes_max)
      return make_error(Code::invalid_argument, "{} in the container is too large", path);
  }
  if (got < 0) return errno_error(errno, fmt::format("reading {} in the container", path));
  return content;
}

Result<std::filesystem::path> folder_in_root(const std::filesystem::path& root,
                                             std::string_view path, bool create) {
  Result<Fd> fd = open_in_root(root, path, O_PATH | O_DIRECTORY);
  if (!fd && create && fd.error().code == Code::not_found && path != "/") {
    std::filesystem::path wanted(path);
    LAB_TRY(std::filesystem::path parent,
            folder_in_root(root, wanted.parent_path().string(), true));
    if (mkdir((parent / wanted.filename()).c_str(), 0755) != 0 && errno != EEXIST)
      return errno_error(errno, fmt::format("creating {} in the container", path));
    fd = open_in_root(root, path, O_PATH | O_DIRECTORY);
  }
  if (!fd) return std::move(fd).error();
  return path_of(*fd);
}

Result<void> make_working_directory(const std::filesystem::path& root, std::string_view path) {
  Result<std::filesystem::path> made = folder_in_root(root, path, true);
  if (made) return {};
  if (open_in_root(root, path, O_PATH))
    return make_error(Code::internal, "Cannot mkdir: {} is not a directory", path);
  return std::move(made).error();
}

}  // namespace lab::engine::container
