#include "engine/layer/tree.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <vector>

#include "engine/layer/unpack.hpp"

namespace lab::engine::layer {

namespace {

constexpr int depth_max = 4096;

int open_in_root(int root, const std::string& path, int flags) {
  open_how how{};
  how.flags = static_cast<std::uint64_t>(flags | O_CLOEXEC);
  how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
  const char* name = path.empty() ? "." : path.c_str();
  return static_cast<int>(::syscall(SYS_openat2, root, name, &how, sizeof how));
}

Result<void> remove_at_depth(int folder, const std::string& name, int depth);

Result<void> empty_folder(Fd fd, int depth) {
  DIR* raw = ::fdopendir(fd.release());
  if (raw == nullptr) return errno_error(errno, "reading a folder");
  const std::unique_ptr<DIR, int (*)(DIR*)> stream(raw, ::closedir);
  while (const dirent* entry = ::readdir(stream.get())) {
    const std::string name = entry->d_name;
    if (name == "." || name == "..") continue;
    LAB_CHECK(remove_at_depth(::dirfd(stream.get()), name, depth + 1));
  }
  return {};
}

Result<void> remove_at_depth(int folder, const std::string& name, int depth) {
  if (depth > depth_max) return make_error(Code::internal, "{}: folders nested too deep", name);
  if (::unlinkat(folder, name.c_str(), 0) == 0 || errno == ENOENT) return {};
  if (errno != EISDIR && errno != EPERM) return errno_error(errno, "removing " + name);
  Fd fd(::openat(folder, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd) return errno_error(errno, "removing " + name);
  LAB_CHECK(empty_folder(std::move(fd), depth));
  if (::unlinkat(folder, name.c_str(), AT_REMOVEDIR) == 0 || errno == ENOENT) return {};
  return errno_error(errno, "removing " + name);
}

}  // namespace

Result<std::string> clean_path(std::string_view path) {
  if (path.find('\0') != std::string_view::npos) {
    return Error{Code::invalid_argument, "a path holds a NUL byte"};
  }
  std::vector<std::string_view> parts;
  std::string_view rest = path;
  while (!rest.empty()) {
    const std::size_t slash = rest.find('/');
    const std::string_view part = rest.substr(0, slash);
    rest.remove_prefix(slash == std::string_view::npos ? rest.size() : slash + 1);
    if (part.empty() || part == ".") continue;
    if (part != "..") {
      parts.push_back(part);
    } else if (parts.empty()) {
      return make_error(Code::invalid_argument, "\"{}\" leads out of the layer", path);
    } else {
      parts.pop_back();
    }
  }
  return fmt::format("{}", fmt::join(parts, "/"));
}

std::pair<std::string, std::string> split_path(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  if (slash == std::string::npos) return {"", path};
  return {path.substr(0, slash), path.substr(slash + 1)};
}

Result<Tree> Tree::open(const std::string& directory) {
  Fd root(::open(directory.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!root) return errno_error(errno, "opening " + directory);
  return Tree(std::move(root));
}

Result<Tree> Tree::open(int directory) {
  Fd root(::openat(directory, ".", O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!root) return errno_error(errno, "opening a folder");
  return Tree(std::move(root));
}

Result<int> Tree::folder(const std::string& path) {
  if (path.empty()) return root_.get();
  if (cached_ && path == cached_path_) return cached_.get();
  Fd fd(open_in_root(root_.get(), path, O_PATH | O_DIRECTORY));
  if (!fd && errno == ENOENT) {
    const auto [parent_path, name] = split_path(path);
    LAB_TRY(const int parent, folder(parent_path));
    if (::mkdirat(parent, name.c_str(), 0755) != 0) return errno_error(errno, "making " + path);
    fd = Fd(open_in_root(root_.get(), path, O_PATH | O_DIRECTORY));
  }
  if (!fd) return errno_error(errno, "opening folder " + path);
  cached_ = std::move(fd);
  cached_path_ = path;
  return cached_.get();
}

Result<Fd> Tree::existing_folder(const std::string& path) const {
  Fd fd(open_in_root(root_.get(), path, O_PATH | O_DIRECTORY));
  if (!fd) return errno_error(errno, "opening folder " + path);
  return fd;
}

Result<Fd> Tree::locate(const std::string& path) const {
  Fd fd(open_in_root(root_.get(), path, O_PATH));
  if (!fd) return errno_error(errno, "opening " + path);
  return fd;
}

Result<Fd> Tree::open_file(const std::string& path) const {
  Fd fd(open_in_root(root_.get(), path, O_RDONLY | O_NONBLOCK));
  struct stat status {};
  if (!fd || ::fstat(fd.get(), &status) != 0) return errno_error(errno, "opening " + path);
  if (!S_ISREG(status.st_mode)) {
    return make_error(Code::invalid_argument, "{} is not a regular file", path);
  }
  return fd;
}

Result<std::vector<std::string>> names_in(int folder) {
  Fd copy(openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  DIR* raw = copy ? fdopendir(copy.get()) : nullptr;
  if (raw == nullptr) return errno_error(errno, "reading a folder");
  static_cast<void>(copy.release());  // the stream's now
  const std::unique_ptr<DIR, int (*)(DIR*)> stream(raw, ::closedir);
  std::vector<std::string> names;
  while (const dirent* entry = readdir(stream.get())) {
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

Result<void> remove_at(int folder, const std::string& name) {
  return remove_at_depth(folder, name, 0);
}

Result<void> remove_tree(const std::filesystem::path& directory) {
  return remove_at_depth(AT_FDCWD, directory.string(), 0);
}

}  // namespace lab::engine::layer
