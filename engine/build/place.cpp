#include "engine/build/place.hpp"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "base/file.hpp"
#include "engine/container/mounts.hpp"
#include "engine/layer/byte_source.hpp"
#include "engine/layer/tree.hpp"
#include "engine/layer/unpack.hpp"

namespace lab::engine::build {

namespace fs = std::filesystem;

namespace {

constexpr int folder_flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
constexpr int links_max = 40;

// Where in the image a source goes.
class Destination {
 public:
  Destination(const layer::Tree& tree, const Placement& placement)
      : tree_(tree), placement_(placement) {}

  // The folder `path`, made with its parents (the owner's) if missing; `made` says whether.
  Result<Fd> folder(const std::string& path, bool& made) const {
    Fd fd(open_in_root(path, O_RDONLY | O_DIRECTORY));
    made = !fd && errno == ENOENT;
    if (!fd && !made) return errno_error(errno, "opening folder /" + path);
    if (fd) return fd;
    // A link to a folder that is not there leads to where it has to be made.
    LAB_TRY(const std::string followed, follow(path));
    if (followed != path) return folder(followed, made);
    const auto [parent_path, name] = layer::split_path(path);
    bool ignored = false;
    LAB_TRY(const Fd parent, folder(parent_path, ignored));
    if (mkdirat(parent.get(), name.c_str(), 0755) != 0)
      return errno_error(errno, "creating folder /" + path);
    const layer::Owner owner = placement_.owner.value_or(layer::Owner{});
    if (fchownat(parent.get(), name.c_str(), owner.uid, owner.gid, AT_SYMLINK_NOFOLLOW) != 0 ||
        fchmodat(parent.get(), name.c_str(), 0755, 0) != 0)
      return errno_error(errno, "changing the owner of folder /" + path);
    fd = Fd(openat(parent.get(), name.c_str(), folder_flags));
    if (!fd) return errno_error(errno, "opening folder /" + path);
    return fd;
  }

  [[nodiscard]] bool is_folder(const std::string& path) const {
    return static_cast<bool>(Fd(open_in_root(path, O_PATH | O_DIRECTORY)));
  }

  // A link at the end of the path is followed, to a place that need not be there.
  Result<std::string> follow(std::string path) const {
    for (int links = 0; links < links_max; ++links) {
      const auto [parent_path, name] = layer::split_path(path);
      const Fd parent(open_in_root(parent_path, O_PATH | O_DIRECTORY));
      char target[4096];
      const ssize_t size =
          parent ? readlinkat(parent.get(), name.c_str(), target, sizeof target) : -1;
      if (size < 0) return path;
      const std::string link(target, static_cast<std::size_t>(size));
      const std::string from = link.starts_with('/') ? link : "/" + parent_path + "/" + link;
      path = container::clean_path(from).substr(1);
    }
    return make_error(Code::invalid_argument, "/{}: too many links", path);
  }

 private:
  [[nodiscard]] int open_in_root(const std::string& path, int flags) const {
    open_how how{};
    how.flags = static_cast<std::uint64_t>(flags | O_CLOEXEC);
    how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
    const char* name = path.empty() ? "." : path.c_str();
    return static_cast<int>(syscall(SYS_openat2, tree_.root(), name, &how, sizeof how));
  }

  const layer::Tree& tree_;
  const Placement& placement_;
};

Result<Fd> open_source_folder(const Source& source, const std::string& path) {
  LAB_TRY(const layer::Tree tree, layer::Tree::open(source.root.string()));
  return tree.existing_folder(path);
}

// A regular file that is a tar, compressed or not.
Result<bool> is_archive(const Source& source) {
  LAB_TRY(const layer::Tree tree, layer::Tree::open(source.root.string()));
  auto fd = tree.open_file(source.path);
  if (!fd) return false;
  layer::FileSource file(std::move(*fd));
  return layer::is_tar(file);
}

Result<void> unpack_archive(const Destination& destination, const Source& source,
                            const std::string& path) {
  bool made = false;
  LAB_TRY(const Fd folder, destination.folder(path, made));
  LAB_TRY(const layer::Tree tree, layer::Tree::open(source.root.string()));
  LAB_TRY(Fd fd, tree.open_file(source.path));
  layer::FileSource file(std::move(fd));
  const auto tar = layer::make_decompressor(file);
  LAB_CHECK(layer::unpack_files(*tar, folder.get()));
  return {};
}

Result<void> place_one(const Destination& destination, const Source& source,
                       const Placement& placement) {
  const bool slash = placement.destination.ends_with('/');
  std::string path = container::clean_path(placement.destination).substr(1);
  const layer::CopyOptions options{placement.owner};
  bool made = false;
  if (source.is_folder) {
    LAB_TRY(const Fd folder, destination.folder(path, made));
    LAB_TRY(const Fd from, open_source_folder(source, source.path));
    const Fd readable(openat(from.get(), ".", folder_flags));
    if (!readable) return errno_error(errno, "opening folder " + source.path);
    return layer::copy_contents(readable.get(), folder.get(), options);
  }
  if (placement.unpack && !source.is_download) {
    LAB_TRY(const bool archive, is_archive(source));
    if (archive) return unpack_archive(destination, source, path);
  }
  if (slash || destination.is_folder(path)) {
    path = path.empty() ? source.name : path + "/" + source.name;
  } else {
    LAB_TRY(path, destination.follow(path));
  }
  const auto [folder_path, name] = layer::split_path(path);
  LAB_TRY(const Fd folder, destination.folder(folder_path, made));
  const auto [source_folder, source_name] = layer::split_path(source.path);
  LAB_TRY(const Fd from, open_source_folder(source, source_folder));
  return layer::copy_object(from.get(), source_name, folder.get(), name, options);
}

}  // namespace

Result<void> place_sources(const fs::path& root, const std::vector<Source>& sources,
                           const Placement& placement) {
  LAB_TRY(const layer::Tree tree, layer::Tree::open(root.string()));
  const Destination destination(tree, placement);
  for (const Source& source : sources) {
    auto placed = place_one(destination, source, placement);
    if (!placed) return std::move(placed).error().wrap("failed to copy files");
  }
  return {};
}

Result<void> place_folder(const fs::path& root, const std::string& path) {
  LAB_TRY(const layer::Tree tree, layer::Tree::open(root.string()));
  const Placement placement;
  bool made = false;
  LAB_CHECK(Destination(tree, placement).folder(container::clean_path(path).substr(1), made));
  return {};
}

}  // namespace lab::engine::build
