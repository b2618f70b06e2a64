#include <bzlib.h>
#include <lzma.h>
#include <zlib.h>
#include <zstd.h>

#include <cstring>

#include "engine/layer/byte_source.hpp"

namespace lab::engine::layer {

namespace {

constexpr std::size_t input_size = std::size_t{128} << 10;
constexpr int gzip_with_largest_window = 16 + MAX_WBITS;
constexpr std::uint64_t xz_memory_bytes_max = std::uint64_t{256} << 20;

// Compressed bytes read ahead; what was read first (to recognise the format) comes first.
class Input {
 public:
  explicit Input(ByteSource& source) : source_(source), buffer_(input_size, '\0') {}

  // At least `size` bytes in the window, unless the source ends before.
  Result<void> fill(std::size_t size) {
    while (window_.size() < size && !ended_) {
      std::memmove(buffer_.data(), buffer_.data() + start_, window_.size());
      start_ = 0;
      const std::size_t held = window_.size();
      LAB_TRY(const std::size_t count, source_.read(buffer_.data() + held, buffer_.size() - held));
      ended_ = count == 0;
      window_ = std::string_view(buffer_).substr(0, held + count);
    }
    return {};
  }
  [[nodiscard]] std::string_view window() const { return window_; }
  void consume(std::size_t count) {
    start_ += count;
    window_.remove_prefix(count);
  }

 private:
  ByteSource& source_;
  std::string buffer_;
  std::string_view window_;
  std::size_t start_ = 0;
  bool ended_ = false;
};

class Codec {
 public:
  virtual ~Codec() = default;
  virtual Result<std::size_t> read(Input& input, char* buffer, std::size_t size) = 0;
};

class PlainCodec final : public Codec {
 public:
  Result<std::size_t> read(Input& input, char* buffer, std::size_t size) override {
    LAB_CHECK(input.fill(1));
    const std::size_t count = std::min(size, input.window().size());
    std::memcpy(buffer, input.window().data(), count);
    input.consume(count);
    return count;
  }
};

class GzipCodec final : public Codec {
 public:
  GzipCodec() { inflateInit2(&stream_, gzip_with_largest_window); }
  GzipCodec(const GzipCodec&) = delete;
  GzipCodec& operator=(const GzipCodec&) = delete;
  ~GzipCodec() override { inflateEnd(&stream_); }

  Result<std::size_t> read(Input& input, char* buffer, std::size_t size) override {
    stream_.next_out = reinterpret_cast<Bytef*>(buffer);
    stream_.avail_out = static_cast<uInt>(size);
    while (stream_.avail_out == size) {
      LAB_CHECK(input.fill(1));
      const std::string_view window = input.window();
      if (window.empty()) {
        if (between_members_) return std::size_t{0};
        return Error{Code::invalid_argument, "gzip: unexpected EOF"};
      }
      stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(window.data()));
      stream_.avail_in = static_cast<uInt>(window.size());
      const int status = inflate(&stream_, Z_NO_FLUSH);
      input.consume(window.size() - stream_.avail_in);
      between_members_ = status == Z_STREAM_END;
      if (between_members_) {
        inflateReset(&stream_);
      } else if (status != Z_OK) {
        return make_error(Code::invalid_argument, "gzip: {}",
                          stream_.msg == nullptr ? "invalid data" : stream_.msg);
      }
    }
    return size - stream_.avail_out;
  }

 private:
  z_stream stream_ = {};
  bool between_members_ = false;
};

class ZstdCodec final : public Codec {
 public:
  ZstdCodec() : stream_(ZSTD_createDStream()) {}
  ZstdCodec(const ZstdCodec&) = delete;
  ZstdCodec& operator=(const ZstdCodec&) = delete;
  ~ZstdCodec() override { ZSTD_freeDStream(stream_); }

  Result<std::size_t> read(Input& input, char* buffer, std::size_t size) override {
    ZSTD_outBuffer output{buffer, size, 0};
    while (output.pos == 0) {
      // The decoder may still hold output, so it is asked once more before the input's end counts.
      if (!may_hold_output_) LAB_CHECK(input.fill(1));
      const std::string_view window = input.window();
      if (window.empty() && !may_hold_output_) {
        if (frame_ended_) return std::size_t{0};
        return Error{Code::invalid_argument, "zstd: unexpected EOF"};
      }
      ZSTD_inBuffer in{window.data(), window.size(), 0};
      const std::size_t status = ZSTD_decompressStream(stream_, &output, &in);
      if (ZSTD_isError(status) != 0) {
        return make_error(Code::invalid_argument, "zstd: {}", ZSTD_getErrorName(status));
      }
      input.consume(in.pos);
      frame_ended_ = status == 0;
      may_hold_output_ = output.pos == output.size && !frame_ended_;
    }
    return output.pos;
  }

 private:
  ZSTD_DStream* stream_;
  bool frame_ended_ = false;
  bool may_hold_output_ = false;
};

class Bzip2Codec final : public Codec {
 public:
  Bzip2Codec() { begin(); }
  Bzip2Codec(const Bzip2Codec&) = delete;
  Bzip2Codec& operator=(const Bzip2Codec&) = delete;
  ~Bzip2Codec() override { BZ2_bzDecompressEnd(&stream_); }

  Result<std::size_t> read(Input& input, char* buffer, std::size_t size) override {
    stream_.next_out = buffer;
    stream_.avail_out = static_cast<unsigned>(size);
    while (stream_.avail_out == size) {
      LAB_CHECK(input.fill(1));
      const std::string_view window = input.window();
      if (window.empty()) {
        if (between_streams_) return std::size_t{0};
        return Error{Code::invalid_argument, "bzip2: unexpected EOF"};
      }
      stream_.next_in = const_cast<char*>(window.data());
      stream_.avail_in = static_cast<unsigned>(window.size());
      const int status = BZ2_bzDecompress(&stream_);
      input.consume(window.size() - stream_.avail_in);
      between_streams_ = status == BZ_STREAM_END;
      if (between_streams_) {
        const bz_stream ended = stream_;
        BZ2_bzDecompressEnd(&stream_);
        begin();
        stream_.next_out = ended.next_out;
        stream_.avail_out = ended.avail_out;
      } else if (status != BZ_OK) {
        return Error{Code::invalid_argument, "bzip2: invalid data"};
      }
    }
    return size - stream_.avail_out;
  }

 private:
  void begin() {
    stream_ = {};
    BZ2_bzDecompressInit(&stream_, 0, 0);
  }

  bz_stream stream_ = {};
  bool between_streams_ = false;
};

class XzCodec final : public Codec {
 public:
  XzCodec() {
    if (lzma_stream_decoder(&stream_, xz_memory_bytes_max, LZMA_CONCATENATED) != LZMA_OK)
      lzma_end(&stream_);  // then lzma_code() fails
  }
  XzCodec(const XzCodec&) = delete;
  XzCodec& operator=(const XzCodec&) = delete;
  ~XzCodec() override { lzma_end(&stream_); }

  Result<std::size_t> read(Input& input, char* buffer, std::size_t size) override {
    stream_.next_out = reinterpret_cast<std::uint8_t*>(buffer);
    stream_.avail_out = size;
    while (stream_.avail_out == size && !ended_) {
      LAB_CHECK(input.fill(1));
      const std::string_view window = input.window();
      stream_.next_in = reinterpret_cast<const std::uint8_t*>(window.data());
      stream_.avail_in = window.size();
      const lzma_ret status = lzma_code(&stream_, window.empty() ? LZMA_FINISH : LZMA_RUN);
      input.consume(window.size() - stream_.avail_in);
      ended_ = status == LZMA_STREAM_END;
      if (status == LZMA_BUF_ERROR) return Error{Code::invalid_argument, "xz: unexpected EOF"};
      if (!ended_ && status != LZMA_OK) return Error{Code::invalid_argument, "xz: invalid data"};
    }
    return size - stream_.avail_out;
  }

 private:
  lzma_stream stream_ = LZMA_STREAM_INIT;
  bool ended_ = false;
};

class Decompressor final : public ByteSource {
 public:
  explicit Decompressor(ByteSource& source) : input_(source) {}

  Result<std::size_t> read(char* buffer, std::size_t size) override {
    if (!codec_) LAB_CHECK(recognise());
    return codec_->read(input_, buffer, size);
  }

 private:
  Result<void> recognise() {
    constexpr std::string_view gzip_magic("\x1f\x8b\x08", 3);
    constexpr std::string_view zstd_magic("\x28\xb5\x2f\xfd", 4);
    constexpr std::string_view bzip2_magic("BZh", 3);
    constexpr std::string_view xz_magic(
        "\xfd"
        "7zXZ\0",
        6);
    LAB_CHECK(input_.fill(xz_magic.size()));
    if (input_.window().starts_with(gzip_magic)) {
      codec_ = std::make_unique<GzipCodec>();
    } else if (input_.window().starts_with(zstd_magic)) {
      codec_ = std::make_unique<ZstdCodec>();
    } else if (input_.window().starts_with(bzip2_magic)) {
      codec_ = std::make_unique<Bzip2Codec>();
    } else if (input_.window().starts_with(xz_magic)) {
      codec_ = std::make_unique<XzCodec>();
    } else {
      codec_ = std::make_unique<PlainCodec>();
    }
    return {};
  }

  Input input_;
  std::unique_ptr<Codec> codec_;
};

}  // namespace

std::unique_ptr<ByteSource> make_decompressor(ByteSource& input) {
  return std::make_unique<Decompressor>(input);
}

}  // namespace lab::engine::layer
