#include "engine/layer/pack.hpp"

#include <archive.h>
#include <archive_entry.h>
#include <dirent.h>
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
#include "engine/layer/utf8_locale.hpp"

namespace lab::engine::layer {

namespace {

constexpr const char* overlay_opaque = "trusted.overlay.opaque";
constexpr std::string_view overlay_attributes = "trusted.overlay.";
constexpr int nesting_max = 4096;

struct SinkState {
  const TarSink* sink;
  Result<void> result;
};

la_ssize_t write_callback(archive* writer, void* data, const void* bytes, std::size_t size) {
  auto* state = static_cast<SinkState*>(data);
  state->result = (*state->sink)({static_cast<const char*>(bytes), size});
  if (!state->result) {
    archive_set_error(writer, EIO, "%s", state->result.error().message.c_str());
    return -1;
  }
  return static_cast<la_ssize_t>(size);
}

using Entry = std::unique_ptr<archive_entry, decltype(&archive_entry_free)>;

// "/proc/self/fd/N/NAME": a path for calls that have no *at form, resolved no further than NAME.
std::string path_of(int folder, const std::string& name) {
  return fmt::format("/proc/self/fd/{}/{}", folder, name);
}

class Packer {
 public:
  Packer(const PackOptions& options, const TarSink& sink)
      : options_(options), state_{&sink, {}}, writer_(archive_write_new(), archive_write_free) {}

  Result<void> open() {
    archive_write_set_format_pax_restricted(writer_.get());
    archive_write_set_bytes_per_block(writer_.get(), 64 << 10);
    archive_write_set_bytes_in_last_block(writer_.get(), 1);
    if (archive_write_open(writer_.get(), &state_, nullptr, write_callback, nullptr) != ARCHIVE_OK)
      return failure();
    return {};
  }

  Result<PackResult> close() {
    if (archive_write_close(writer_.get()) != ARCHIVE_OK) return failure();
    return result_;
  }

  // What is in the folder, and what is below that. `prefix` ends with a slash or is empty.
  Result<void> add_folder(int folder, const std::string& prefix, int depth) {
    if (depth > nesting_max)
      return make_error(Code::invalid_argument, "{}: folders nested too deep", prefix);
    LAB_TRY(std::vector<std::string> names, sorted_names(folder, prefix));
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
  Error failure() {
    if (!state_.result) return state_.result.error();
    const char* text = archive_error_string(writer_.get());
    return make_error(Code::internal, "writing a tar: {}",
                      text == nullptr ? "unknown error" : text);
  }

  static Result<std::vector<std::string>> sorted_names(int folder, const std::string& prefix) {
    Fd copy(openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    DIR* stream = copy ? fdopendir(copy.get()) : nullptr;
    if (stream == nullptr) return errno_error(errno, fmt::format("reading folder {}", prefix));
    (void)copy.release();  // the stream's now
    std::vector<std::string> names;
    while (const dirent* entry = readdir(stream)) {
      std::string_view name = entry->d_name;
      if (name != "." && name != "..") names.emplace_back(name);
    }
    closedir(stream);
    std::sort(names.begin(), names.end());
    return names;
  }

  static bool is_opaque(int folder) {
    char value = 0;
    return fgetxattr(folder, overlay_opaque, &value, 1) == 1 && value == 'y';
  }

  static Entry new_entry(const std::string& tar_name, const struct stat& status) {
    Entry entry(archive_entry_new(), archive_entry_free);
    archive_entry_set_pathname_utf8(entry.get(), tar_name.c_str());
    archive_entry_set_mode(entry.get(), status.st_mode);
    archive_entry_set_uid(entry.get(), status.st_uid);
    archive_entry_set_gid(entry.get(), status.st_gid);
    archive_entry_set_mtime(entry.get(), status.st_mtim.tv_sec, status.st_mtim.tv_nsec);
    archive_entry_set_size(entry.get(), 0);
    return entry;
  }

  Result<void> write_header(const Entry& entry) {
    ++result_.entries;
    if (archive_write_header(writer_.get(), entry.get()) < ARCHIVE_WARN) return failure();
    return {};
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
    Entry entry = new_entry(tar_name, status);
    if (S_ISREG(status.st_mode) && status.st_nlink > 1) {
      auto [first, is_new] = links_.try_emplace({status.st_dev, status.st_ino}, tar_name);
      if (!is_new) {
        archive_entry_set_hardlink_utf8(entry.get(), first->second.c_str());
        return write_header(entry);
      }
    }
    if (S_ISLNK(status.st_mode)) LAB_CHECK(set_link_target(entry, folder, name));
    if (S_ISCHR(status.st_mode) || S_ISBLK(status.st_mode))
      archive_entry_set_rdev(entry.get(), status.st_rdev);
    set_extended_attributes(entry, path_of(folder, name));
    if (!S_ISREG(status.st_mode)) return write_header(entry);
    return add_content(entry, folder, name, status);
  }

  static Result<void> set_link_target(const Entry& entry, int folder, const std::string& name) {
    char target[4097];
    ssize_t size = readlinkat(folder, name.c_str(), target, sizeof target - 1);
    if (size < 0) return errno_error(errno, fmt::format("reading link {}", name));
    target[size] = '\0';
    archive_entry_set_symlink_utf8(entry.get(), target);
    return {};
  }

  void set_extended_attributes(const Entry& entry, const std::string& path) const {
    std::string names(65536, '\0');
    ssize_t size = llistxattr(path.c_str(), names.data(), names.size());
    if (size <= 0) return;
    std::map<std::string, std::string> sorted;
    for (const char* name = names.data(); name < names.data() + size; name += strlen(name) + 1) {
      if (options_.whiteouts && std::string_view(name).starts_with(overlay_attributes)) continue;
      std::string value(65536, '\0');
      ssize_t length = lgetxattr(path.c_str(), name, value.data(), value.size());
      if (length >= 0) sorted[name] = value.substr(0, static_cast<std::size_t>(length));
    }
    for (const auto& [name, value] : sorted) {
      archive_entry_xattr_add_entry(entry.get(), name.c_str(), value.data(), value.size());
    }
  }

  Result<void> add_content(const Entry& entry, int folder, const std::string& name,
                           const struct stat& status) {
    Fd file(openat(folder, name.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK));
    if (!file) return errno_error(errno, fmt::format("opening {}", name));
    archive_entry_set_size(entry.get(), status.st_size);
    LAB_CHECK(write_header(entry));
    buffer_.resize(std::size_t{256} << 10);
    auto left = static_cast<std::uint64_t>(status.st_size);
    result_.size_bytes += left;
    while (left > 0) {
      ssize_t got = read(file.get(), buffer_.data(), std::min<std::uint64_t>(buffer_.size(), left));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return errno_error(errno, fmt::format("reading {}", name));
      if (got == 0) break;  // it shrank: libarchive fills up with zeros
      if (archive_write_data(writer_.get(), buffer_.data(), static_cast<std::size_t>(got)) < 0)
        return failure();
      left -= static_cast<std::uint64_t>(got);
    }
    return {};
  }

  const PackOptions& options_;
  SinkState state_;
  std::unique_ptr<archive, decltype(&archive_write_free)> writer_;
  std::map<std::pair<dev_t, ino_t>, std::string> links_;
  std::string buffer_;
  PackResult result_;
};

}  // namespace

Result<PackResult> pack_directory(const std::filesystem::path& directory,
                                  const PackOptions& options, const TarSink& sink) {
  Utf8Locale utf8;
  Fd folder(open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder) return errno_error(errno, fmt::format("opening {}", directory.string()));
  Packer packer(options, sink);
  LAB_CHECK(packer.open());
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
  Utf8Locale utf8;
  Fd folder(open(file.parent_path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder) return errno_error(errno, fmt::format("opening {}", file.parent_path().string()));
  PackOptions options;
  options.whiteouts = false;
  Packer packer(options, sink);
  LAB_CHECK(packer.open());
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
