#include "engine/image/gzip_file.hpp"

#include <fcntl.h>
#include <unistd.h>
#include <zlib.h>

#include <cerrno>

#include "base/digest.hpp"
#include "base/file.hpp"

namespace lab::engine::image {

namespace {

constexpr int gzip_with_largest_window = 16 + MAX_WBITS;
constexpr int memory_level = 8;
constexpr std::size_t buffer_size = std::size_t{128} << 10;

}  // namespace

struct GzipFile::State {
  State(Fd fd, Level level) : file(std::move(fd)), buffer(buffer_size, '\0') {
    deflateInit2(&stream, level, Z_DEFLATED, gzip_with_largest_window, memory_level,
                 Z_DEFAULT_STRATEGY);
  }
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ~State() { deflateEnd(&stream); }

  Result<void> run(std::string_view bytes, int flush) {
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
    stream.avail_in = static_cast<uInt>(bytes.size());
    do {
      stream.next_out = reinterpret_cast<Bytef*>(buffer.data());
      stream.avail_out = static_cast<uInt>(buffer.size());
      deflate(&stream, flush);
      LAB_CHECK(store(std::string_view(buffer).substr(0, buffer.size() - stream.avail_out)));
    } while (stream.avail_out == 0);
    return {};
  }
  Result<void> store(std::string_view bytes) {
    hash.update(bytes);
    while (!bytes.empty()) {
      const ssize_t count = ::write(file.get(), bytes.data(), bytes.size());
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) return errno_error(errno, "writing a compressed layer");
      bytes.remove_prefix(static_cast<std::size_t>(count));
    }
    return {};
  }

  Fd file;
  std::string buffer;
  Sha256 hash;
  z_stream stream = {};
};

GzipFile::GzipFile(std::unique_ptr<State> state) : state_(std::move(state)) {}
GzipFile::GzipFile(GzipFile&&) noexcept = default;
GzipFile::~GzipFile() = default;

Result<GzipFile> GzipFile::create(const std::filesystem::path& path, Level level) {
  Fd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!file) return errno_error(errno, "creating " + path.string());
  return GzipFile(std::make_unique<State>(std::move(file), level));
}

Result<void> GzipFile::write(std::string_view bytes) { return state_->run(bytes, Z_NO_FLUSH); }

Result<std::string> GzipFile::finish() {
  LAB_CHECK(state_->run({}, Z_FINISH));
  return "sha256:" + to_hex(state_->hash.finish());
}

}  // namespace lab::engine::image
