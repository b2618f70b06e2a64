// Small files read and written whole, and the durable replacement of one.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <string>
#include <string_view>
#include <utility>

#include "base/error.hpp"

namespace lab {

// An owned file descriptor.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    if (this != &other) {
      reset();
      fd_ = std::exchange(other.fd_, -1);
    }
    return *this;
  }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  ~Fd() { reset(); }

  [[nodiscard]] int get() const { return fd_; }
  [[nodiscard]] int release() { return std::exchange(fd_, -1); }
  void reset();
  explicit operator bool() const { return fd_ >= 0; }

 private:
  int fd_ = -1;
};

// The whole file; more than bytes_max is an error, so that a wrong path cannot fill memory.
[[nodiscard]] Result<std::string> read_file(const std::filesystem::path& path,
                                            std::size_t bytes_max = std::size_t{64} << 20);

// Replaces `path` by `content` so that after a crash either the old or the new content is there,
// whole: temporary file in the same folder, fsync, rename, fsync of the folder.
[[nodiscard]] Result<void> write_file_durably(const std::filesystem::path& path,
                                              std::string_view content, mode_t mode = 0644);

// As above without the fsyncs: atomic for readers, not durable.
[[nodiscard]] Result<void> write_file(const std::filesystem::path& path, std::string_view content,
                                      mode_t mode = 0644);

[[nodiscard]] Result<void> make_directories(const std::filesystem::path& path, mode_t mode = 0755);

// A new folder below the system's temporary folder, removed with all it holds at the end of the
// object.
class TemporaryDirectory {
 public:
  explicit TemporaryDirectory(std::string_view prefix = "lab");
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  ~TemporaryDirectory();
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

// An exclusive advisory lock (flock) on a file that is created if missing; held until the object
// ends. Waits at most `timeout_ms` milliseconds; the error names the file.
[[nodiscard]] Result<Fd> lock_file(const std::filesystem::path& path, int timeout_ms);

}  // namespace lab
