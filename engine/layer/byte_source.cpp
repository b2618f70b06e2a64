#include "engine/layer/byte_source.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace lab::engine::layer {

Result<std::size_t> StringSource::read(char* buffer, std::size_t size) {
  const std::size_t count = std::min(size, bytes_.size());
  std::memcpy(buffer, bytes_.data(), count);
  bytes_.remove_prefix(count);
  return count;
}

Result<FileSource> FileSource::open(const std::string& path) {
  Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return errno_error(errno, fmt::format("opening {}", path));
  return FileSource(std::move(fd));
}

Result<std::size_t> FileSource::read(char* buffer, std::size_t size) {
  while (true) {
    const ssize_t count = ::read(fd_.get(), buffer, size);
    if (count >= 0) return static_cast<std::size_t>(count);
    if (errno != EINTR) return errno_error(errno, "reading a layer");
  }
}

Result<std::size_t> HashingSource::read(char* buffer, std::size_t size) {
  LAB_TRY(const std::size_t count, input_.read(buffer, size));
  hash_.update(std::string_view(buffer, count));
  bytes_ += count;
  for (std::size_t written = 0; copy_ && written < count;) {
    const ssize_t step = ::write(copy_.get(), buffer + written, count - written);
    if (step < 0 && errno == EINTR) continue;
    if (step < 0) return errno_error(errno, "writing a blob");
    written += static_cast<std::size_t>(step);
  }
  return count;
}

Result<std::size_t> TeeSource::read(char* buffer, std::size_t size) {
  LAB_TRY(const std::size_t count, input_.read(buffer, size));
  LAB_CHECK(observer_(std::string_view(buffer, count)));
  return count;
}

std::string HashingSource::digest() { return "sha256:" + to_hex(hash_.finish()); }

Result<void> drain(ByteSource& source) {
  std::string buffer(std::size_t{64} << 10, '\0');
  while (true) {
    LAB_TRY(const std::size_t count, source.read(buffer.data(), buffer.size()));
    if (count == 0) return {};
  }
}

Result<std::string> read_to_end(ByteSource& source, std::size_t bytes_max) {
  std::string all;
  std::string buffer(std::size_t{64} << 10, '\0');
  while (true) {
    LAB_TRY(const std::size_t count, source.read(buffer.data(), buffer.size()));
    if (count == 0) return all;
    all.append(buffer, 0, count);
    if (all.size() > bytes_max) {
      return make_error(Code::invalid_argument, "more than {} bytes", bytes_max);
    }
  }
}

}  // namespace lab::engine::layer
