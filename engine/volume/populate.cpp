#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstring>

#include "base/file.hpp"
#include "engine/volume/volumes.hpp"

namespace lab::engine::volume {

namespace {

struct CloseFolder {
  void operator()(DIR* folder) const { closedir(folder); }
};
using Folder = std::unique_ptr<DIR, CloseFolder>;

Result<Folder> open_folder(int at, const char* name) {
  Fd fd(openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd) return errno_error(errno, fmt::format("opening {}", name));
  DIR* folder = fdopendir(fd.get());
  if (folder == nullptr) return errno_error(errno, fmt::format("opening {}", name));
  static_cast<void>(fd.release());
  return Folder(folder);
}

bool is_dot(const char* name) {
  return std::strcmp(name, ".") == 0 || std::strcmp(name, "..") == 0;
}

bool is_empty(DIR* folder) {
  while (const dirent* entry = readdir(folder)) {
    if (!is_dot(entry->d_name)) return false;
  }
  return true;
}

Result<void> copy_content(int from, int to, const char* name) {
  for (;;) {
    ssize_t copied = copy_file_range(from, nullptr, to, nullptr, SSIZE_MAX / 2, 0);
    if (copied == 0) return {};
    if (copied < 0) break;
  }
  char buffer[65536];
  ssize_t got = 0;
  while ((got = read(from, buffer, sizeof buffer)) > 0) {
    for (ssize_t put = 0; put < got;) {
      ssize_t written = write(to, buffer + put, static_cast<std::size_t>(got - put));
      if (written < 0) return errno_error(errno, fmt::format("writing {}", name));
      put += written;
    }
  }
  if (got < 0) return errno_error(errno, fmt::format("reading {}", name));
  return {};
}

Result<void> copy_folder(DIR* from, int to);

Result<void> copy_entry(int from, int to, const char* name, const struct stat& info) {
  if (S_ISREG(info.st_mode)) {
    Fd source(openat(from, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
    Fd target(openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!source || !target) return errno_error(errno, fmt::format("copying {}", name));
    return copy_content(source.get(), target.get(), name);
  }
  if (S_ISLNK(info.st_mode)) {
    char link[PATH_MAX];
    ssize_t length = readlinkat(from, name, link, sizeof link - 1);
    if (length < 0) return errno_error(errno, fmt::format("reading link {}", name));
    link[length] = '\0';
    if (symlinkat(link, to, name) != 0) return errno_error(errno, fmt::format("linking {}", name));
    return {};
  }
  if (!S_ISDIR(info.st_mode)) {
    if (mknodat(to, name, info.st_mode, info.st_rdev) != 0)
      return errno_error(errno, fmt::format("making node {}", name));
    return {};
  }
  if (mkdirat(to, name, 0700) != 0) return errno_error(errno, fmt::format("creating {}", name));
  LAB_TRY(Folder source, open_folder(from, name));
  Fd target(openat(to, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!target) return errno_error(errno, fmt::format("opening {}", name));
  return copy_folder(source.get(), target.get());
}

Result<void> copy_folder(DIR* from, int to) {
  int source = dirfd(from);
  while (const dirent* entry = readdir(from)) {
    const char* name = entry->d_name;
    if (is_dot(name)) continue;
    struct stat info {};
    if (fstatat(source, name, &info, AT_SYMLINK_NOFOLLOW) != 0)
      return errno_error(errno, fmt::format("reading {}", name));
    LAB_CHECK(copy_entry(source, to, name, info));
    if (fchownat(to, name, info.st_uid, info.st_gid, AT_SYMLINK_NOFOLLOW) != 0)
      return errno_error(errno, fmt::format("changing the owner of {}", name));
    if (!S_ISLNK(info.st_mode) && fchmodat(to, name, info.st_mode & 07777, 0) != 0)
      return errno_error(errno, fmt::format("changing the mode of {}", name));
    timespec times[2] = {info.st_atim, info.st_mtim};
    utimensat(to, name, times, AT_SYMLINK_NOFOLLOW);
  }
  return {};
}

}  // namespace

Result<void> populate(const std::filesystem::path& from, const std::filesystem::path& to) {
  {
    LAB_TRY(Folder target, open_folder(AT_FDCWD, to.c_str()));
    if (!is_empty(target.get())) return {};
  }
  struct stat info {};
  if (lstat(from.c_str(), &info) != 0 || !S_ISDIR(info.st_mode)) return {};
  LAB_TRY(Folder source, open_folder(AT_FDCWD, from.c_str()));
  Fd target(open(to.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!target) return errno_error(errno, fmt::format("opening {}", to.string()));
  LAB_CHECK(copy_folder(source.get(), target.get()));
  if (fchown(target.get(), info.st_uid, info.st_gid) != 0 ||
      fchmod(target.get(), info.st_mode & 07777) != 0)
    return errno_error(errno, fmt::format("changing the owner of {}", to.string()));
  return {};
}

}  // namespace lab::engine::volume
