#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "base/file.hpp"
#include "engine/layer/copy_tree.hpp"
#include "engine/volume/volumes.hpp"

namespace lab::engine::volume {

Result<void> populate(const std::filesystem::path& from, const std::filesystem::path& to) {
  std::error_code failure;
  bool is_empty = std::filesystem::is_empty(to, failure);
  if (failure) {
    return make_error(Code::internal, "reading volume folder {}: {}", to.string(),
                      failure.message());
  }
  struct stat info {};
  if (!is_empty || lstat(from.c_str(), &info) != 0 || !S_ISDIR(info.st_mode)) return {};
  Fd source(open(from.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!source) return errno_error(errno, fmt::format("opening {}", from.string()));
  Fd target(open(to.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!target) return errno_error(errno, fmt::format("opening {}", to.string()));
  LAB_CHECK(layer::copy_contents(source.get(), target.get(), layer::CopyOptions{}));
  if (fchown(target.get(), info.st_uid, info.st_gid) != 0 ||
      fchmod(target.get(), info.st_mode & 07777) != 0)
    return errno_error(errno, fmt::format("changing the owner of {}", to.string()));
  return {};
}

}  // namespace lab::engine::volume
