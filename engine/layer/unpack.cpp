#include "engine/layer/unpack.hpp"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <tuple>
#include <vector>

#include "engine/layer/tree.hpp"
#include "engine/layer/utf8_locale.hpp"

namespace lab::engine::layer {

namespace {

constexpr std::string_view whiteout_prefix = ".wh.";
constexpr std::string_view whiteout_metadata_prefix = ".wh..wh.";
constexpr std::string_view whiteout_opaque = ".wh..wh..opq";
constexpr const char* overlay_opaque = "trusted.overlay.opaque";
constexpr mode_t permission_bits = 07777;

struct ReaderState {
  ByteSource* source;
  std::string buffer;
  std::optional<Error> error;
};

la_ssize_t read_callback(archive* reader, void* data, const void** bytes) {
  auto* state = static_cast<ReaderState*>(data);
  auto count = state->source->read(state->buffer.data(), state->buffer.size());
  if (count.has_error()) {
    state->error = std::move(count).error();
    archive_set_error(reader, EIO, "%s", state->error->message.c_str());
    return -1;
  }
  *bytes = state->buffer.data();
  return static_cast<la_ssize_t>(*count);
}

class Unpacker {
 public:
  Unpacker(ByteSource& source, Tree tree, bool whiteouts, FileOptions options)
      : whiteouts_(whiteouts),
        options_(std::move(options)),
        state_{&source, std::string(std::size_t{256} << 10, '\0'), {}},
        reader_(archive_read_new(), archive_read_free),
        tree_(std::move(tree)) {}

  Result<UnpackResult> run();

 private:
  struct DirectoryTimes {
    std::string path;
    timespec times[2];
  };

  Result<void> one_entry(archive_entry* entry);
  Result<void> check_kind(archive_entry* entry, const std::string& path);
  Result<void> whiteout(archive_entry* entry, const std::string& parent, const std::string& name);
  Result<void> make(archive_entry* entry, const std::string& parent, const std::string& name);
  Result<void> make_hard_link(const std::string& target, int folder, const std::string& name);
  Result<void> make_file(archive_entry* entry, int folder, const std::string& name);
  Result<bool> make_directory(int folder, const std::string& name);
  Result<void> clear_place(int folder, const std::string& name);
  Result<void> set_metadata(archive_entry* entry, int folder, const std::string& name);
  Result<void> set_root_metadata(archive_entry* entry);
  Result<void> copy_data(int fd, la_int64_t size);
  Result<void> set_directory_times();
  Error archive_failure(std::string_view context);

  const bool whiteouts_;
  const FileOptions options_;
  bool padding_missing_ = false;  // behind the last file
  ReaderState state_;
  std::unique_ptr<archive, int (*)(archive*)> reader_;
  Tree tree_;
  UnpackResult result_;
  std::vector<DirectoryTimes> directory_times_;
};

Error Unpacker::archive_failure(std::string_view context) {
  if (state_.error) return *state_.error;
  const char* text = archive_error_string(reader_.get());
  return make_error(Code::invalid_argument, "{}: {}", context,
                    text == nullptr ? "malformed archive" : text);
}

Result<UnpackResult> Unpacker::run() {
  archive_read_support_format_tar(reader_.get());
  archive_read_support_format_empty(reader_.get());
  if (archive_read_open(reader_.get(), &state_, nullptr, read_callback, nullptr) != ARCHIVE_OK) {
    return archive_failure("reading a layer");
  }
  while (!padding_missing_) {
    archive_entry* entry = nullptr;
    const int status = archive_read_next_header(reader_.get(), &entry);
    if (status == ARCHIVE_EOF) break;
    if (status != ARCHIVE_OK && status != ARCHIVE_WARN) return archive_failure("reading a layer");
    LAB_CHECK(one_entry(entry));
    ++result_.entries;
  }
  LAB_CHECK(drain(*state_.source));
  LAB_CHECK(set_directory_times());
  return result_;
}

Result<void> Unpacker::one_entry(archive_entry* entry) {
  const char* raw_path = archive_entry_pathname(entry);
  if (raw_path == nullptr) return archive_failure("a name that cannot be read");
  LAB_TRY(const std::string path, clean_path(raw_path));
  if (path.empty()) return whiteouts_ ? set_root_metadata(entry) : Result<void>();
  if (options_.keep_kinds) LAB_CHECK(check_kind(entry, path));
  const auto [parent, name] = split_path(path);
  const bool hides = whiteouts_ && name.starts_with(whiteout_prefix);
  auto done = hides ? whiteout(entry, parent, name) : make(entry, parent, name);
  if (done.has_error()) return std::move(done).error().wrap("{}", path);
  return {};
}

void entry_times(archive_entry* entry, timespec (&times)[2]) {
  times[1].tv_sec = archive_entry_mtime(entry);
  times[1].tv_nsec = archive_entry_mtime_nsec(entry);
  times[0] = times[1];
  if (archive_entry_atime_is_set(entry) != 0) {
    times[0].tv_sec = archive_entry_atime(entry);
    times[0].tv_nsec = archive_entry_atime_nsec(entry);
  }
}

Result<void> Unpacker::check_kind(archive_entry* entry, const std::string& path) {
  const auto [parent, name] = split_path(path);
  const auto folder = tree_.existing_folder(parent);
  struct stat status {};
  if (folder.has_error() ||
      ::fstatat(folder->get(), name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0)
    return {};
  const bool comes_folder = archive_entry_filetype(entry) == AE_IFDIR;
  if (comes_folder == S_ISDIR(status.st_mode)) return {};
  const std::string full = options_.place + (options_.place.ends_with('/') ? "" : "/") + path;
  return make_error(Code::internal, "cannot overwrite {} \"{}\" with {} \"{}\"",
                    comes_folder ? "non-directory" : "directory", full,
                    comes_folder ? "directory" : "non-directory", options_.place);
}

Result<void> Unpacker::whiteout(archive_entry* entry, const std::string& parent,
                                const std::string& name) {
  LAB_TRY(const int folder, tree_.folder(parent));
  if (name == whiteout_opaque) {
    const Fd fd(::openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!fd || ::fsetxattr(fd.get(), overlay_opaque, "y", 1, 0) != 0) {
      return errno_error(errno, "marking a folder as opaque");
    }
    return {};
  }
  if (name.starts_with(whiteout_metadata_prefix)) return {};  // aufs' own files
  const std::string hidden = name.substr(whiteout_prefix.size());
  if (hidden.empty() || hidden == "." || hidden == "..") {
    return Error{Code::invalid_argument, "invalid whiteout"};
  }
  if (::mknodat(folder, hidden.c_str(), S_IFCHR, ::makedev(0, 0)) == 0) {
    // Its time is a part of the layer's bytes when it is packed again.
    timespec times[2];
    entry_times(entry, times);
    if (::utimensat(folder, hidden.c_str(), times, AT_SYMLINK_NOFOLLOW) == 0) return {};
    return errno_error(errno, "setting a whiteout's time");
  }
  if (errno != EEXIST) return errno_error(errno, "making a whiteout");
  // The layer has an object of that name too. A whiteout speaks of the layers below only, so the
  // object stays; a folder must hide what is below it.
  const Fd fd(::openat(folder, hidden.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (fd && ::fsetxattr(fd.get(), overlay_opaque, "y", 1, 0) != 0) {
    return errno_error(errno, "marking a folder as opaque");
  }
  return {};
}

// Makes room for something that is not a folder.
Result<void> Unpacker::clear_place(int folder, const std::string& name) {
  LAB_CHECK(remove_at(folder, name));
  tree_.forget();
  return {};
}

// True if the folder replaces a whiteout of this layer.
Result<bool> Unpacker::make_directory(int folder, const std::string& name) {
  if (::mkdirat(folder, name.c_str(), 0755) == 0) return false;
  if (errno != EEXIST) return errno_error(errno, "making a folder");
  struct stat status {};
  if (::fstatat(folder, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
    return errno_error(errno, "making a folder");
  }
  if (S_ISDIR(status.st_mode)) return false;
  LAB_CHECK(remove_at(folder, name));
  if (::mkdirat(folder, name.c_str(), 0755) != 0) return errno_error(errno, "making a folder");
  return whiteouts_ && S_ISCHR(status.st_mode) && status.st_rdev == ::makedev(0, 0);
}

Result<void> Unpacker::make(archive_entry* entry, const std::string& parent,
                            const std::string& name) {
  LAB_TRY(int folder, tree_.folder(parent));
  const mode_t type = archive_entry_filetype(entry);
  if (type == AE_IFDIR) {
    LAB_TRY(const bool opaque, make_directory(folder, name));
    if (opaque) {
      const Fd fd(::openat(folder, name.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
      if (!fd || ::fsetxattr(fd.get(), overlay_opaque, "y", 1, 0) != 0) {
        return errno_error(errno, "marking a folder as opaque");
      }
    }
    return set_metadata(entry, folder, name);
  }
  struct stat status {};
  if (::fstatat(folder, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0) {
    LAB_CHECK(clear_place(folder, name));
    LAB_TRY(folder, tree_.folder(parent));
  }
  if (const char* target = archive_entry_hardlink(entry)) {
    return make_hard_link(target, folder, name);
  }
  switch (type) {
    case AE_IFREG: return make_file(entry, folder, name);
    case AE_IFLNK: {
      const char* target = archive_entry_symlink(entry);
      if (target == nullptr) return archive_failure("a link that cannot be read");
      if (::symlinkat(target, folder, name.c_str()) != 0)
        return errno_error(errno, "making a link");
      result_.size_bytes += std::string_view(target).size();
      break;
    }
    case AE_IFCHR:
    case AE_IFBLK:
    case AE_IFIFO:
      if (::mknodat(folder, name.c_str(), type | 0600, archive_entry_rdev(entry)) != 0) {
        return errno_error(errno, "making a device");
      }
      break;
    default: return make_error(Code::invalid_argument, "file type {:o} is not supported", type);
  }
  return set_metadata(entry, folder, name);
}

Result<void> Unpacker::make_hard_link(const std::string& target, int folder,
                                      const std::string& name) {
  LAB_TRY(const std::string target_path, clean_path(target));
  const auto [target_parent, target_name] = split_path(target_path);
  if (target_name.empty()) return Error{Code::invalid_argument, "hard link to a folder"};
  LAB_TRY(const Fd target_folder, tree_.existing_folder(target_parent));
  if (::linkat(target_folder.get(), target_name.c_str(), folder, name.c_str(), 0) != 0) {
    return errno_error(errno, fmt::format("hard link to {}", target));
  }
  return {};
}

Result<void> Unpacker::copy_data(int fd, la_int64_t file_size) {
  la_int64_t end = 0;
  while (true) {
    const void* block = nullptr;
    std::size_t size = 0;
    la_int64_t offset = 0;
    const int status = archive_read_data_block(reader_.get(), &block, &size, &offset);
    if (status == ARCHIVE_EOF) return {};
    // The docker command ends some archives without filling up the last block.
    padding_missing_ = status == ARCHIVE_FATAL && !state_.error && end == file_size && !whiteouts_;
    if (padding_missing_) return {};
    if (status != ARCHIVE_OK) return archive_failure("reading a file of a layer");
    const char* bytes = static_cast<const char*>(block);
    while (size > 0) {
      const ssize_t written = ::pwrite(fd, bytes, size, offset);
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) return errno_error(errno, "writing a file of a layer");
      bytes += written;
      offset += written;
      size -= static_cast<std::size_t>(written);
    }
    end = offset;
  }
}

Result<void> Unpacker::make_file(archive_entry* entry, int folder, const std::string& name) {
  constexpr int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
  Fd fd(::openat(folder, name.c_str(), flags, 0600));
  if (!fd) return errno_error(errno, "making a file");
  const la_int64_t size = archive_entry_size(entry);
  LAB_CHECK(copy_data(fd.get(), size));
  if (archive_entry_sparse_count(entry) > 0 && ::ftruncate(fd.get(), size) != 0) {
    return errno_error(errno, "setting a file's size");
  }
  result_.size_bytes += static_cast<std::uint64_t>(size);
  return set_metadata(entry, folder, name);
}

bool is_overlay_attribute(std::string_view name) {
  // Would change how overlayfs reads the folder.
  return name.starts_with("trusted.overlay.") || name.starts_with("user.overlay.");
}

Result<void> set_attributes(archive_entry* entry, const std::string& proc_path) {
  archive_entry_xattr_reset(entry);
  const char* name = nullptr;
  const void* value = nullptr;
  std::size_t size = 0;
  while (archive_entry_xattr_next(entry, &name, &value, &size) == ARCHIVE_OK) {
    if (is_overlay_attribute(name)) continue;
    if (::lsetxattr(proc_path.c_str(), name, value, size, 0) == 0) continue;
    // As Docker: what the file system cannot store is left out.
    if (errno == ENOTSUP || errno == EPERM) continue;
    return errno_error(errno, fmt::format("setting attribute {}", name));
  }
  return {};
}

// Owner first (it clears set-user-id bits and capabilities), then mode, attributes, times.
Result<void> Unpacker::set_metadata(archive_entry* entry, int folder, const std::string& name) {
  auto owner = static_cast<uid_t>(archive_entry_uid(entry));
  auto group = static_cast<gid_t>(archive_entry_gid(entry));
  if (options_.owner) std::tie(owner, group) = *options_.owner;
  if (::fchownat(folder, name.c_str(), owner, group, AT_SYMLINK_NOFOLLOW) != 0) {
    return errno_error(errno, fmt::format("setting owner {}:{}", owner, group));
  }
  const mode_t type = archive_entry_filetype(entry);
  const mode_t mode = archive_entry_perm(entry) & permission_bits;
  if (type != AE_IFLNK && ::fchmodat(folder, name.c_str(), mode, 0) != 0) {
    return errno_error(errno, "setting the mode");
  }
  if (archive_entry_xattr_count(entry) > 0) {
    LAB_CHECK(set_attributes(entry, fmt::format("/proc/self/fd/{}/{}", folder, name)));
  }
  timespec times[2];
  entry_times(entry, times);
  if (type == AE_IFDIR) {
    LAB_TRY(std::string path, clean_path(archive_entry_pathname(entry)));
    directory_times_.push_back({std::move(path), {times[0], times[1]}});
  } else if (::utimensat(folder, name.c_str(), times, AT_SYMLINK_NOFOLLOW) != 0) {
    return errno_error(errno, "setting times");
  }
  return {};
}

Result<void> Unpacker::set_root_metadata(archive_entry* entry) {
  if (archive_entry_filetype(entry) != AE_IFDIR) {
    return Error{Code::invalid_argument, "the layer's root is not a folder"};
  }
  const mode_t mode = archive_entry_perm(entry) & permission_bits;
  const Fd fd(::openat(tree_.root(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd ||
      ::fchown(fd.get(), static_cast<uid_t>(archive_entry_uid(entry)),
               static_cast<gid_t>(archive_entry_gid(entry))) != 0 ||
      ::fchmod(fd.get(), mode) != 0) {
    return errno_error(errno, "the layer's root");
  }
  return set_attributes(entry, fmt::format("/proc/self/fd/{}/.", fd.get()));
}

// After everything else: files made inside a folder change its time. A folder that was replaced
// since has no time to set.
Result<void> Unpacker::set_directory_times() {
  for (const DirectoryTimes& entry : directory_times_) {
    const auto [parent, name] = split_path(entry.path);
    auto folder = tree_.existing_folder(parent);
    if (folder.has_error()) continue;
    struct stat status {};
    if (::fstatat(folder->get(), name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) continue;
    if (!S_ISDIR(status.st_mode)) continue;
    if (::utimensat(folder->get(), name.c_str(), entry.times, AT_SYMLINK_NOFOLLOW) != 0) {
      return errno_error(errno, "setting times of " + entry.path);
    }
  }
  return {};
}

}  // namespace

namespace {

Result<UnpackResult> unpack(ByteSource& tar, Tree tree, bool whiteouts, FileOptions options = {}) {
  const Utf8Locale locale;
  Unpacker unpacker(tar, std::move(tree), whiteouts, std::move(options));
  return unpacker.run();
}

}  // namespace

Result<UnpackResult> unpack_layer(ByteSource& tar, const std::filesystem::path& directory) {
  LAB_TRY(Tree tree, Tree::open(directory.string()));
  return unpack(tar, std::move(tree), true);
}

Result<UnpackResult> unpack_files(ByteSource& tar, const std::filesystem::path& directory) {
  LAB_TRY(Tree tree, Tree::open(directory.string()));
  return unpack(tar, std::move(tree), false);
}

Result<UnpackResult> unpack_files(ByteSource& tar, int directory) {
  LAB_TRY(Tree tree, Tree::open(directory));
  return unpack(tar, std::move(tree), false);
}

Result<UnpackResult> unpack_files(ByteSource& tar, int directory, const FileOptions& options) {
  LAB_TRY(Tree tree, Tree::open(directory));
  return unpack(tar, std::move(tree), false, options);
}

bool is_tar(ByteSource& bytes) {
  const std::unique_ptr<ByteSource> plain = make_decompressor(bytes);
  ReaderState state{plain.get(), std::string(std::size_t{16} << 10, '\0'), {}};
  const std::unique_ptr<archive, int (*)(archive*)> reader(archive_read_new(), archive_read_free);
  archive_read_support_format_tar(reader.get());
  archive_entry* entry = nullptr;
  return archive_read_open(reader.get(), &state, nullptr, read_callback, nullptr) == ARCHIVE_OK &&
         archive_read_next_header(reader.get(), &entry) == ARCHIVE_OK;
}

}  // namespace lab::engine::layer
