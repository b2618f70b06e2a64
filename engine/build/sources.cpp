#include "engine/build/sources.hpp"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>

#include "base/digest.hpp"
#include "base/file.hpp"
#include "engine/build/ignore.hpp"
#include "engine/layer/byte_source.hpp"
#include "engine/layer/tree.hpp"

namespace lab::engine::build {

namespace fs = std::filesystem;

namespace {

constexpr int nesting_max = 4096;
constexpr int folder_flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;

std::string join(const std::string& folder, const std::string& name) {
  return folder.empty() ? name : folder + "/" + name;
}

bool has_wildcards(std::string_view word) {
  for (std::size_t i = 0; i < word.size(); ++i) {
    if (word[i] == '\\') {
      ++i;
    } else if (word[i] == '*' || word[i] == '?' || word[i] == '[') {
      return true;
    }
  }
  return false;
}

char type_flag(mode_t mode) {
  switch (mode & S_IFMT) {
    case S_IFLNK: return '2';
    case S_IFCHR: return '3';
    case S_IFBLK: return '4';
    case S_IFDIR: return '5';
    case S_IFIFO: return '6';
    default: return '0';
  }
}

// The digest of one object: what a tar's header would say of it but its times, and its content.
Result<std::string> digest_of_object(int folder, const std::string& name, const std::string& path,
                                     const struct stat& status) {
  Sha256 hash;
  const bool is_file = S_ISREG(status.st_mode);
  hash.update(fmt::format("{}\nmode {:o}\nowner {} {}\nsize {}\ntype {}\ndevice {}\n", path,
                          status.st_mode & 07777, status.st_uid, status.st_gid,
                          is_file ? status.st_size : 0, type_flag(status.st_mode), status.st_rdev));
  if (S_ISLNK(status.st_mode)) {
    char target[PATH_MAX];
    const ssize_t size = readlinkat(folder, name.c_str(), target, sizeof target);
    if (size < 0) return errno_error(errno, "reading link " + path);
    hash.update({target, static_cast<std::size_t>(size)});
  }
  char capability[64];
  const std::string proc_path = fmt::format("/proc/self/fd/{}/{}", folder, name);
  const ssize_t size =
      lgetxattr(proc_path.c_str(), "security.capability", capability, sizeof capability);
  if (size > 0) hash.update({capability, static_cast<std::size_t>(size)});
  if (is_file) {
    Fd fd(openat(folder, name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    if (!fd) return errno_error(errno, "opening " + path);
    layer::FileSource source(std::move(fd));
    std::string buffer(std::size_t{128} << 10, '\0');
    for (;;) {
      LAB_TRY(const std::size_t count, source.read(buffer.data(), buffer.size()));
      if (count == 0) break;
      hash.update({buffer.data(), count});
    }
  }
  return to_hex(hash.finish());
}

// Every object below a folder.
Result<void> walk(
    int folder, const std::string& path, int depth,
    const std::function<Result<void>(int folder, const std::string& name, const std::string& path,
                                     const struct stat& status)>& visit) {
  if (depth > nesting_max)
    return make_error(Code::invalid_argument, "{}: folders nested too deep", path);
  LAB_TRY(const std::vector<std::string> names, layer::names_in(folder));
  for (const std::string& name : names) {
    struct stat status {};
    if (fstatat(folder, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0)
      return errno_error(errno, "reading " + join(path, name));
    LAB_CHECK(visit(folder, name, join(path, name), status));
    if (!S_ISDIR(status.st_mode)) continue;
    const Fd child(openat(folder, name.c_str(), folder_flags));
    if (!child) return errno_error(errno, "opening " + join(path, name));
    LAB_CHECK(walk(child.get(), join(path, name), depth + 1, visit));
  }
  return {};
}

// Where a path leads, links resolved as if the tree were "/".
Result<std::string> resolve(const layer::Tree& tree, const std::string& path) {
  open_how how{};
  how.flags = O_PATH | O_CLOEXEC;
  how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
  const char* name = path.empty() ? "." : path.c_str();
  const Fd fd(static_cast<int>(syscall(SYS_openat2, tree.root(), name, &how, sizeof how)));
  if (!fd && (errno == ENOENT || errno == ENOTDIR))
    return make_error(Code::not_found, "stat {}: file does not exist", path);
  if (!fd) return errno_error(errno, "stat " + path);
  std::error_code failure;
  const fs::path found = fs::read_symlink(fmt::format("/proc/self/fd/{}", fd.get()), failure);
  const fs::path root = fs::read_symlink(fmt::format("/proc/self/fd/{}", tree.root()), failure);
  const std::string relative = found.lexically_relative(root).string();
  if (failure || relative.empty() || relative.starts_with(".."))
    return make_error(Code::internal, "{} leads out of its tree", path);
  return relative == "." ? std::string() : relative;
}

Result<Source> source_at(const fs::path& root, const layer::Tree& tree, const std::string& path) {
  Source source;
  source.root = root;
  LAB_TRY(source.path, resolve(tree, path));
  source.name = layer::split_path(path).second;
  struct stat status {};
  LAB_TRY(const Fd folder, tree.existing_folder(layer::split_path(source.path).first));
  const std::string last = source.path.empty() ? "." : layer::split_path(source.path).second;
  if (fstatat(folder.get(), last.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0)
    return errno_error(errno, "stat " + path);
  source.is_folder = S_ISDIR(status.st_mode);
  if (!source.is_folder) {
    LAB_TRY(const std::string digest, digest_of_object(folder.get(), last, source.path, status));
    source.digest = "file:" + digest;
    return source;
  }
  std::vector<std::string> digests;
  if (!source.path.empty()) {
    LAB_TRY(std::string own, digest_of_object(folder.get(), last, source.path, status));
    digests.push_back(std::move(own));
  }
  const Fd self(openat(folder.get(), last.c_str(), folder_flags));
  if (!self) return errno_error(errno, "opening " + path);
  LAB_CHECK(walk(self.get(), source.path, 0,
                 [&digests](int in, const std::string& name, const std::string& at,
                            const struct stat& of) -> Result<void> {
                   LAB_TRY(std::string digest, digest_of_object(in, name, at, of));
                   digests.push_back(std::move(digest));
                   return {};
                 }));
  std::sort(digests.begin(), digests.end());
  source.digest = "dir:" + sha256_hex(fmt::format("{}", fmt::join(digests, ",")));
  return source;
}

}  // namespace

Result<std::vector<Source>> find_sources(const fs::path& root, const std::string& word) {
  std::string_view wanted = word;
  if (wanted.starts_with('/')) wanted.remove_prefix(1);
  if (wanted.starts_with("./")) wanted.remove_prefix(2);
  LAB_TRY(const layer::Tree tree, layer::Tree::open(root.string()));
  std::vector<Source> sources;
  if (!has_wildcards(wanted)) {
    auto path = layer::clean_path(wanted);
    if (!path) {
      return make_error(Code::invalid_argument, "forbidden path outside the build context: {} ()",
                        word);
    }
    LAB_TRY(Source source, source_at(root, tree, *path));
    sources.push_back(std::move(source));
    return sources;
  }
  const std::string pattern(wanted);
  std::vector<std::string> matching;
  LAB_TRY(const Fd top, tree.existing_folder(""));
  LAB_CHECK(walk(
      top.get(), "", 0,
      [&](int, const std::string&, const std::string& path, const struct stat&) -> Result<void> {
        if (match_path(pattern, path) == Match::yes) matching.push_back(path);
        return {};
      }));
  for (const std::string& path : matching) {
    LAB_TRY(Source source, source_at(root, tree, path));
    sources.push_back(std::move(source));
  }
  return sources;
}

std::string digest_of(const std::vector<Source>& sources) {
  if (sources.size() == 1) return sources.front().digest;
  std::vector<std::string> digests;
  digests.reserve(sources.size());
  for (const Source& source : sources) digests.push_back(source.digest);
  return "multi:" + sha256_hex(fmt::format("{}", fmt::join(digests, ",")));
}

}  // namespace lab::engine::build
