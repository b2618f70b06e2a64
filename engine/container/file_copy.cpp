#include "engine/container/file_copy.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <climits>

#include "engine/container/mounts.hpp"
#include "engine/layer/pack.hpp"
#include "engine/layer/unpack.hpp"

namespace lab::engine::container {

namespace {

// A requested path: the folder that holds it and the last component, which is not followed. The
// component is "." when the path ends with a slash.
struct Place {
  std::string absolute;  // clean, but for "/." or "/" at its end
  std::string name;      // as Docker names it: "d" of "/d/", "." of "/d/.", "/" of "/"
  Fd folder;
  std::string base;
};

// "/d/." and "/d/" mean what is behind a link "/d".
Result<Place> find_place(layer::Tree& root, const std::string& path) {
  Place place;
  const std::string clean = clean_path("/" + path);
  const bool dot = path == "." || path.ends_with("/.");
  const bool follows = dot || path.ends_with('/') || clean == "/";
  const std::size_t slash = clean.rfind('/');
  place.absolute = clean;
  if (dot) place.absolute += clean == "/" ? "." : "/.";
  place.name = dot ? "." : clean == "/" ? "/" : clean.substr(slash + 1);
  LAB_TRY(place.folder, root.locate(follows ? clean : clean.substr(0, slash)));
  struct stat info {};
  if (fstat(place.folder.get(), &info) == 0 && !S_ISDIR(info.st_mode))
    return make_error(Code::internal, "lstat {}: not a directory", path);
  place.base = follows ? "." : clean.substr(slash + 1);
  return place;
}

Result<struct stat> stat_of(const Place& place) {
  struct stat info {};
  if (fstatat(place.folder.get(), place.base.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0)
    return errno_error(errno, fmt::format("lstat {}", place.absolute));
  return info;
}

std::string path_of(int fd) {
  char text[PATH_MAX];
  const ssize_t size = readlink(fmt::format("/proc/self/fd/{}", fd).c_str(), text, sizeof text);
  return {text, static_cast<std::size_t>(std::max<ssize_t>(size, 0))};
}

// Where a link leads, as a path in the container; the link's own words when nothing is there.
std::string target_of(layer::Tree& root, const Place& place) {
  char text[PATH_MAX];
  const ssize_t size = readlinkat(place.folder.get(), place.base.c_str(), text, sizeof text);
  const std::string target(text, static_cast<std::size_t>(std::max<ssize_t>(size, 0)));
  const std::string top = path_of(root.root());
  if (Result<Fd> found = root.locate(place.absolute)) {
    const std::string full = path_of(found->get());
    if (full.starts_with(top)) return full.size() == top.size() ? "/" : full.substr(top.size());
  }
  if (target.starts_with('/')) return clean_path(target);
  return clean_path(place.absolute + "/../" + target);
}

}  // namespace

std::uint32_t go_file_mode(std::uint32_t mode) {
  std::uint32_t bits = mode & 0777;
  switch (mode & S_IFMT) {
    case S_IFDIR: bits |= 1U << 31; break;
    case S_IFLNK: bits |= 1U << 27; break;
    case S_IFBLK: bits |= 1U << 26; break;
    case S_IFCHR: bits |= 1U << 26 | 1U << 21; break;
    case S_IFIFO: bits |= 1U << 25; break;
    case S_IFSOCK: bits |= 1U << 24; break;
    default: break;
  }
  if ((mode & S_ISUID) != 0) bits |= 1U << 23;
  if ((mode & S_ISGID) != 0) bits |= 1U << 22;
  if ((mode & S_ISVTX) != 0) bits |= 1U << 20;
  return bits;
}

boost::json::object to_json(const PathStat& status) {
  return boost::json::object{{"name", status.name},
                             {"size", status.size_bytes},
                             {"mode", status.mode},
                             {"mtime", format_rfc3339(status.mtime)},
                             {"linkTarget", status.link_target}};
}

Result<PathStat> stat_path(layer::Tree& root, const std::string& path) {
  LAB_TRY(const Place place, find_place(root, path));
  LAB_TRY(const struct stat info, stat_of(place));
  PathStat status;
  status.name = place.name;
  status.size_bytes = info.st_size;
  status.mode = go_file_mode(info.st_mode);
  status.mtime = WallTime(std::chrono::seconds(info.st_mtim.tv_sec) +
                          std::chrono::nanoseconds(info.st_mtim.tv_nsec));
  if (S_ISLNK(info.st_mode)) status.link_target = target_of(root, place);
  return status;
}

Result<void> write_path(layer::Tree& root, const std::string& path, const layer::TarSink& sink) {
  LAB_TRY(const Place place, find_place(root, path));
  LAB_TRY(const struct stat info, stat_of(place));
  const std::string folder = fmt::format("/proc/self/fd/{}", place.folder.get());
  if (!S_ISDIR(info.st_mode)) {
    LAB_CHECK(layer::pack_file(folder + "/" + place.base, place.name, sink));
    return {};
  }
  Fd opened(openat(place.folder.get(), place.base.c_str(),
                   O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!opened) return errno_error(errno, fmt::format("opening {}", place.absolute));
  layer::PackOptions options;
  options.whiteouts = false;
  options.prefix = place.name + "/";
  LAB_CHECK(layer::pack_directory(fmt::format("/proc/self/fd/{}", opened.get()), options, sink));
  return {};
}

Result<void> extract(layer::Tree& root, const ExtractOptions& options, layer::ByteSource& tar) {
  const std::string clean = clean_path("/" + options.path);
  LAB_TRY(const Fd found, root.locate(clean));
  struct stat info {};
  struct stat top {};
  struct statvfs system {};
  if (fstat(found.get(), &info) != 0 || fstat(root.root(), &top) != 0 ||
      fstatvfs(found.get(), &system) != 0)
    return errno_error(errno, fmt::format("looking at {}", clean));
  if (!S_ISDIR(info.st_mode))
    return make_error(Code::internal, "extraction point is not a directory");
  if (info.st_dev == top.st_dev && options.read_only_root)
    return make_error(Code::internal, "container rootfs is marked read-only");
  if ((system.f_flag & ST_RDONLY) != 0)
    return make_error(Code::internal, "mounted volume is marked read-only");
  layer::FileOptions how;
  how.keep_kinds = options.keep_kinds;
  how.place = clean;
  if (options.as_user && !options.user.empty()) {
    LAB_TRY(const User user, resolve_user(path_of(root.root()), options.user, {}));
    how.owner = {user.uid, user.gid};
  }
  const std::unique_ptr<layer::ByteSource> plain = layer::make_decompressor(tar);
  auto unpacked = layer::unpack_files(*plain, found.get(), how);
  if (!unpacked) {
    return make_error(Code::internal, "Error processing tar file(exit status 1): {}",
                      unpacked.error().message);
  }
  return {};
}

}  // namespace lab::engine::container
