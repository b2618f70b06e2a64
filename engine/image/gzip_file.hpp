// A file that is compressed with gzip while it is written, and the digest of what it holds. The
// bytes depend on the input and the level alone.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "base/error.hpp"

namespace lab::engine::image {

class GzipFile {
 public:
  enum Level : int { fast = 1, usual = 6 };

  // The file must not exist.
  [[nodiscard]] static Result<GzipFile> create(const std::filesystem::path& path, Level level);
  GzipFile(GzipFile&&) noexcept;
  GzipFile& operator=(GzipFile&&) = delete;
  ~GzipFile();

  [[nodiscard]] Result<void> write(std::string_view bytes);
  // The end; gives "sha256:..." of the file.
  [[nodiscard]] Result<std::string> finish();

 private:
  struct State;
  explicit GzipFile(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

inline constexpr std::string_view gzip_media_type =
    "application/vnd.docker.image.rootfs.diff.tar.gzip";

}  // namespace lab::engine::image
