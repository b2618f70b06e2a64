// Blocking byte streams put one behind the other: where a layer comes from, what is computed on the
// way, and its decompression. They run on a worker thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/digest.hpp"
#include "base/error.hpp"
#include "base/file.hpp"

namespace lab::engine::layer {

class ByteSource {
 public:
  virtual ~ByteSource() = default;
  // At least one byte, or 0 at the end. Blocks.
  [[nodiscard]] virtual Result<std::size_t> read(char* buffer, std::size_t size) = 0;
};

class StringSource final : public ByteSource {
 public:
  explicit StringSource(std::string_view bytes) : bytes_(bytes) {}
  [[nodiscard]] Result<std::size_t> read(char* buffer, std::size_t size) override;

 private:
  std::string_view bytes_;
};

class FileSource final : public ByteSource {
 public:
  explicit FileSource(Fd fd) : fd_(std::move(fd)) {}
  [[nodiscard]] static Result<FileSource> open(const std::string& path);
  [[nodiscard]] Result<std::size_t> read(char* buffer, std::size_t size) override;

 private:
  Fd fd_;
};

// Hands on what `input` gives and shows it to `observer`, whose error ends the stream.
class TeeSource final : public ByteSource {
 public:
  using Observer = std::function<Result<void>(std::string_view)>;
  TeeSource(ByteSource& input, Observer observer) : input_(input), observer_(std::move(observer)) {}
  [[nodiscard]] Result<std::size_t> read(char* buffer, std::size_t size) override;

 private:
  ByteSource& input_;
  Observer observer_;
};

// Hands on what `input` gives, hashes it, and writes it to `copy` if that is open.
class HashingSource final : public ByteSource {
 public:
  explicit HashingSource(ByteSource& input, Fd copy = {}) : input_(input), copy_(std::move(copy)) {}
  [[nodiscard]] Result<std::size_t> read(char* buffer, std::size_t size) override;
  // "sha256:..." of all that went through. Once, at the end.
  [[nodiscard]] std::string digest();
  [[nodiscard]] std::uint64_t bytes() const { return bytes_; }

 private:
  ByteSource& input_;
  Fd copy_;
  Sha256 hash_;
  std::uint64_t bytes_ = 0;
};

// Reads to the end and drops it.
[[nodiscard]] Result<void> drain(ByteSource& source);
[[nodiscard]] Result<std::string> read_to_end(ByteSource& source, std::size_t bytes_max);

// Undoes gzip, zstd, bzip2 and xz (several streams one behind the other too), recognised by their
// first bytes; hands on anything else unchanged. `input` outlives it. A stream cut short is an
// error.
[[nodiscard]] std::unique_ptr<ByteSource> make_decompressor(ByteSource& input);

}  // namespace lab::engine::layer
