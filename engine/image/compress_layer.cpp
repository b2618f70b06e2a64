#include "engine/image/compress_layer.hpp"

#include <fcntl.h>
#include <unistd.h>
#include <zlib.h>

#include <cerrno>

#include "base/digest.hpp"
#include "base/file.hpp"
#include "base/random.hpp"
#include "engine/layer/pack.hpp"

namespace lab::engine::image {

namespace {

constexpr int gzip_with_largest_window = 16 + MAX_WBITS;
constexpr int memory_level = 8;
constexpr std::size_t buffer_size = std::size_t{128} << 10;

// Compresses into a file and hashes what it writes. The bytes depend on the input alone.
class GzipFile {
 public:
  explicit GzipFile(Fd file) : file_(std::move(file)), buffer_(buffer_size, '\0') {
    deflateInit2(&stream_, Z_DEFAULT_COMPRESSION, Z_DEFLATED, gzip_with_largest_window,
                 memory_level, Z_DEFAULT_STRATEGY);
  }
  GzipFile(const GzipFile&) = delete;
  GzipFile& operator=(const GzipFile&) = delete;
  ~GzipFile() { deflateEnd(&stream_); }

  Result<void> write(std::string_view bytes) { return run(bytes, Z_NO_FLUSH); }
  Result<std::string> finish() {
    LAB_CHECK(run({}, Z_FINISH));
    return "sha256:" + to_hex(hash_.finish());
  }

 private:
  Result<void> run(std::string_view bytes, int flush) {
    stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
    stream_.avail_in = static_cast<uInt>(bytes.size());
    do {
      stream_.next_out = reinterpret_cast<Bytef*>(buffer_.data());
      stream_.avail_out = static_cast<uInt>(buffer_.size());
      deflate(&stream_, flush);
      LAB_CHECK(store(std::string_view(buffer_).substr(0, buffer_.size() - stream_.avail_out)));
    } while (stream_.avail_out == 0);
    return {};
  }
  Result<void> store(std::string_view bytes) {
    hash_.update(bytes);
    while (!bytes.empty()) {
      const ssize_t count = ::write(file_.get(), bytes.data(), bytes.size());
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) return errno_error(errno, "writing a compressed layer");
      bytes.remove_prefix(static_cast<std::size_t>(count));
    }
    return {};
  }

  Fd file_;
  std::string buffer_;
  Sha256 hash_;
  z_stream stream_ = {};
};

}  // namespace

Result<void> compress_layer(ImageStore& store, const std::string& diff_id) {
  if (!store.layer_blobs(diff_id).empty()) return {};
  LAB_TRY(const std::filesystem::path folder, store.layer_directory(diff_id));
  ImageStore::NewLayer layer;
  layer.diff_id = diff_id;
  layer.blob_file = store.temporary_directory() / ("compress-" + secure_random_hex(8));
  Fd file(::open(layer.blob_file.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!file) return errno_error(errno, "creating " + layer.blob_file.string());
  GzipFile gzip(std::move(file));
  Sha256 hash;
  const layer::TarSink sink = [&](std::string_view bytes) {
    hash.update(bytes);
    return gzip.write(bytes);
  };
  LAB_CHECK(layer::pack_directory(folder, layer::PackOptions{}, sink));
  LAB_TRY(layer.blob, gzip.finish());
  if ("sha256:" + to_hex(hash.finish()) != diff_id) {
    ::unlink(layer.blob_file.c_str());
    return make_error(Code::internal, "layer {} is not what it was: its folder has changed",
                      diff_id);
  }
  layer.media_type = "application/vnd.docker.image.rootfs.diff.tar.gzip";
  return store.add_layer(layer);
}

}  // namespace lab::engine::image
