#include "base/file.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "base/random.hpp"

namespace lab {

namespace {

Result<void> write_all(int fd, std::string_view content, const std::filesystem::path& path) {
  while (!content.empty()) {
    ssize_t written = ::write(fd, content.data(), content.size());
    if (written < 0) {
      if (errno == EINTR) continue;
      return errno_error(errno, fmt::format("writing {}", path.string()));
    }
    content.remove_prefix(static_cast<std::size_t>(written));
  }
  return {};
}

Result<void> replace_file(const std::filesystem::path& path, std::string_view content, mode_t mode,
                          bool durable) {
  std::filesystem::path temporary = path;
  temporary += "." + secure_random_hex(4) + ".tmp";
  Fd fd(open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode));
  if (!fd) return errno_error(errno, fmt::format("creating {}", temporary.string()));
  Result<void> done = write_all(fd.get(), content, temporary);
  if (done && fchmod(fd.get(), mode) != 0)
    done = errno_error(errno, fmt::format("chmod {}", temporary.string()));
  if (done && durable && fsync(fd.get()) != 0) {
    done = errno_error(errno, fmt::format("fsync of {}", temporary.string()));
  }
  if (done && rename(temporary.c_str(), path.c_str()) != 0) {
    done = errno_error(errno, fmt::format("renaming {} to {}", temporary.string(), path.string()));
  }
  if (!done) {
    unlink(temporary.c_str());
    return done;
  }
  if (durable) {
    std::filesystem::path parent = path.has_parent_path() ? path.parent_path() : ".";
    Fd folder(open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!folder || fsync(folder.get()) != 0)
      return errno_error(errno, fmt::format("fsync of {}", parent.string()));
  }
  return {};
}

}  // namespace

void Fd::reset() {
  if (fd_ >= 0) close(std::exchange(fd_, -1));
}

Result<std::string> read_file(const std::filesystem::path& path, std::size_t bytes_max) {
  Fd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return errno_error(errno, fmt::format("opening {}", path.string()));
  std::string content;
  char buffer[65536];
  for (;;) {
    ssize_t got = read(fd.get(), buffer, sizeof buffer);
    if (got < 0) {
      if (errno == EINTR) continue;
      return errno_error(errno, fmt::format("reading {}", path.string()));
    }
    if (got == 0) return content;
    content.append(buffer, static_cast<std::size_t>(got));
    if (content.size() > bytes_max) {
      return make_error(Code::invalid_argument, "{} is larger than {} bytes", path.string(),
                        bytes_max);
    }
  }
}

Result<void> write_file_durably(const std::filesystem::path& path, std::string_view content,
                                mode_t mode) {
  return replace_file(path, content, mode, true);
}

Result<void> write_file(const std::filesystem::path& path, std::string_view content, mode_t mode) {
  return replace_file(path, content, mode, false);
}

Result<void> make_directories(const std::filesystem::path& path, mode_t mode) {
  if (path.empty() || path == "/") return {};
  struct stat status {};
  if (stat(path.c_str(), &status) == 0) {
    if (S_ISDIR(status.st_mode)) return {};
    return make_error(Code::conflict, "{} exists and is not a directory", path.string());
  }
  if (path.has_parent_path() && path.parent_path() != path)
    LAB_CHECK(make_directories(path.parent_path(), 0755));
  if (mkdir(path.c_str(), mode) != 0 && errno != EEXIST) {
    return errno_error(errno, fmt::format("creating directory {}", path.string()));
  }
  return {};
}

TemporaryDirectory::TemporaryDirectory(std::string_view prefix) {
  std::string pattern =
      (std::filesystem::temp_directory_path() / fmt::format("{}-XXXXXX", prefix)).string();
  if (mkdtemp(pattern.data()) == nullptr)
    throw std::runtime_error("mkdtemp " + pattern + " failed");
  path_ = pattern;
}

TemporaryDirectory::~TemporaryDirectory() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

Result<Fd> lock_file(const std::filesystem::path& path, int timeout_ms) {
  Fd fd(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!fd) return errno_error(errno, fmt::format("opening lock {}", path.string()));
  for (int waited = 0;; waited += 10) {
    if (flock(fd.get(), LOCK_EX | LOCK_NB) == 0) return fd;
    if (errno != EWOULDBLOCK && errno != EINTR)
      return errno_error(errno, fmt::format("locking {}", path.string()));
    if (waited >= timeout_ms) {
      return make_error(Code::conflict, "{} is held by another process; tried for {} ms",
                        path.string(), timeout_ms);
    }
    poll(nullptr, 0, 10);
  }
}

}  // namespace lab
