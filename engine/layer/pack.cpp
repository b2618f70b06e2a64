#include "engine/layer/pack.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <map>
#include <memory>
#include <vector>

#include "base/digest.hpp"
#include "base/file.hpp"
#include "engine/layer/tar_writer.hpp"
#include "engine/layer/tree.hpp"

namespace lab::engine::layer {

namespace {

constexpr const char* overlay_opaque = "trusted.overlay.opaque";
constexpr std::string_view overlay_attributes = "trusted.overlay.";
constexpr int nesting_max = 4096;

// "/proc/self/fd/N/NAME": a path for calls that have no *at form, resolved no further than NAME.
std::string path_of(int folder, const std::string& name) {
  return fmt::format("/proc/self/fd/{}/{}", folder, name);
}

class Packer {
 public:
  Packer(const PackOptions& options, const TarSink& sink) : options_(options), writer_(sink) {}

  Result<PackResult> close() {
    LAB_CHECK(writer_.finish());
    return result_;
  }

  // What is in the folder, and what is below that. `prefix` ends with a slash or is empty.
  Result<void> add_folder(int folder, const std::string& prefix, int depth) {
    if (depth > nesting_max)
      return make_error(Code::invalid_argument, "{}: folders nested too deep", prefix);
    LAB_TRY(std::vector<std::string> names, names_in(folder));
    for (const std::string& name : names) LAB_CHECK(add(folder, name, prefix + name, depth));
    return {};
  }

  Result<void> add(int folder, const std::string& name, const std::string& tar_name, int depth) {
    struct stat status {};
    if (fstatat(folder, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
      if (errno == ENOENT) return {};  // gone since the folder was read
      return errno_error(errno, fmt::format("reading {}", tar_name));
    }
    if (S_ISSOCK(status.st_mode)) return {};
    if (options_.whiteouts && S_ISCHR(status.st_mode) && status.st_rdev == 0)
      return add_whiteout(tar_name, status);
    if (!S_ISDIR(status.st_mode)) return add_entry(folder, name, tar_name, status);
    LAB_CHECK(add_entry(folder, name, tar_name + "/", status));
    Fd child(openat(folder, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!child) return errno_error(errno, fmt::format("opening {}", tar_name));
    if (options_.whiteouts && is_opaque(child.get())) {
      LAB_CHECK(write_empty(tar_name + "/.wh..wh..opq", status));
    }
    return add_folder(child.get(), tar_name + "/", depth + 1);
  }

 private:
  static bool is_opaque(int folder) {
    char value = 0;
    return fgetxattr(folder, overlay_opaque, &value, 1) == 1 && value == 'y';
  }

  static TarEntry new_entry(const std::string& tar_name, const struct stat& status) {
    TarEntry entry;
    entry.name = tar_name;
    entry.mode = status.st_mode;
    entry.uid = status.st_uid;
    entry.gid = status.st_gid;
    entry.mtime_seconds = status.st_mtim.tv_sec;  // whole seconds, as Docker
    return entry;
  }

  Result<void> write_header(const TarEntry& entry) {
    ++result_.entries;
    return writer_.header(entry);
  }

  Result<void> write_empty(const std::string& tar_name, struct stat status) {
    status.st_mode = S_IFREG | 0600;
    return write_header(new_entry(tar_name, status));
  }

  Result<void> add_whiteout(const std::string& tar_name, const struct stat& status) {
    std::size_t slash = tar_name.rfind('/');
    std::size_t name = slash == std::string::npos ? 0 : slash + 1;
    return write_empty(tar_name.substr(0, name) + ".wh." + tar_name.substr(name), status);
  }

  Result<void> add_entry(int folder, const std::string& name, const std::string& tar_name,
                         const struct stat& status) {
    TarEntry entry = new_entry(tar_name, status);
    if (S_ISREG(status.st_mode) && status.st_nlink > 1) {
      auto [first, is_new] = links_.try_emplace({status.st_dev, status.st_ino}, tar_name);
      if (!is_new) {
        entry.hard_link = first->second;
        return write_header(entry);
      }
    }
    if (S_ISLNK(status.st_mode)) {
      LAB_CHECK(set_link_target(entry, folder, name));
      result_.size_bytes += entry.symbolic_link.size();
    }
    if (S_ISCHR(status.st_mode) || S_ISBLK(status.st_mode)) entry.device = status.st_rdev;
    set_extended_attributes(entry, path_of(folder, name));
    if (!S_ISREG(status.st_mode)) return write_header(entry);
    return add_content(entry, folder, name, status);
  }

  static Result<void> set_link_target(TarEntry& entry, int folder, const std::string& name) {
    char target[4096];
    ssize_t size = readlinkat(folder, name.c_str(), target, sizeof target);
    if (size < 0) return errno_error(errno, fmt::format("reading link {}", name));
    entry.symbolic_link.assign(target, static_cast<std::size_t>(size));
    return {};
  }

  void set_extended_attributes(TarEntry& entry, const std::string& path) const {
    std::string names(65536, '\0');
    ssize_t size = llistxattr(path.c_str(), names.data(), names.size());
    if (size <= 0) return;
    for (const char* name = names.data(); name < names.data() + size; name += strlen(name) + 1) {
      if (options_.whiteouts && std::string_view(name).starts_with(overlay_attributes)) continue;
      std::string value(65536, '\0');
      ssize_t length = lgetxattr(path.c_str(), name, value.data(), value.size());
      if (length >= 0) entry.attributes[name] = value.substr(0, static_cast<std::size_t>(length));
    }
  }

  Result<void> add_content(TarEntry& entry, int folder, const std::string& name,
                           const struct stat& status) {
    Fd file(openat(folder, name.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK));
    if (!file) return errno_error(errno, fmt::format("opening {}", name));
    entry.size_bytes = static_cast<std::uint64_t>(status.st_size);
    LAB_CHECK(write_header(entry));
    buffer_.resize(std::size_t{256} << 10);
    auto left = static_cast<std::uint64_t>(status.st_size);
    result_.size_bytes += left;
    while (left > 0) {
      ssize_t got = read(file.get(), buffer_.data(), std::min<std::uint64_t>(buffer_.size(), left));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return errno_error(errno, fmt::format("reading {}", name));
      if (got == 0) break;  // it shrank: the writer fills up with zeros
      LAB_CHECK(writer_.data({buffer_.data(), static_cast<std::size_t>(got)}));
      left -= static_cast<std::uint64_t>(got);
    }
    return {};
  }

  const PackOptions& options_;
  TarWriter writer_;
  std::map<std::pair<dev_t, ino_t>, std::string> links_;
  std::string buffer_;
  PackResult result_;
};

}  // namespace

Result<PackResult> pack_directory(const std::filesystem::path& directory,
                                  const PackOptions& options, const TarSink& sink) {
  Fd folder(open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder) return errno_error(errno, fmt::format("opening {}", directory.string()));
  Packer packer(options, sink);
  if (options.prefix.empty()) {
    LAB_CHECK(packer.add_folder(folder.get(), "", 0));
  } else {
    std::string name = options.prefix;
    while (name.ends_with('/')) name.pop_back();
    LAB_CHECK(packer.add(folder.get(), ".", name, 0));
  }
  return packer.close();
}

Result<PackResult> pack_file(const std::filesystem::path& file, const std::string& name,
                             const TarSink& sink) {
  Fd folder(open(file.parent_path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder) return errno_error(errno, fmt::format("opening {}", file.parent_path().string()));
  PackOptions options;
  options.whiteouts = false;
  Packer packer(options, sink);
  LAB_CHECK(packer.add(folder.get(), file.filename(), name, 0));
  return packer.close();
}

Result<LayerDigest> digest_of_layer(const std::filesystem::path& upper) {
  Sha256 hash;
  LayerDigest digest;
  LAB_TRY(digest.packed, pack_directory(upper, PackOptions{}, [&hash](std::string_view bytes) {
            hash.update(bytes);
            return Result<void>{};
          }));
  digest.diff_id = "sha256:" + to_hex(hash.finish());
  return digest;
}

}  // namespace lab::engine::layer
