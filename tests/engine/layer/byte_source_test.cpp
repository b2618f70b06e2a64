#include "engine/layer/byte_source.hpp"

#include <gtest/gtest.h>
#include <zlib.h>
#include <zstd.h>

namespace lab::engine::layer {
namespace {

std::string gzip(const std::string& text) {
  z_stream stream = {};
  deflateInit2(&stream, 6, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY);
  std::string out(deflateBound(&stream, text.size()) + 64, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

std::string zstd(const std::string& text) {
  std::string out(ZSTD_compressBound(text.size()), '\0');
  out.resize(ZSTD_compress(out.data(), out.size(), text.data(), text.size(), 3));
  return out;
}

std::string sample(std::size_t size) {
  std::string text;
  for (std::size_t i = 0; text.size() < size; ++i) text += std::to_string(i * i);
  text.resize(size);
  return text;
}

Result<std::string> decompress(const std::string& bytes) {
  StringSource source(bytes);
  const auto decompressor = make_decompressor(source);
  return read_to_end(*decompressor, std::size_t{1} << 30);
}

TEST(Decompressor, UndoesGzipAndZstdAndLeavesTheRest) {
  for (const std::size_t size : {0U, 1U, 1000U, 1'000'000U}) {
    const std::string text = sample(size);
    EXPECT_EQ(decompress(gzip(text)).value(), text) << size;
    EXPECT_EQ(decompress(zstd(text)).value(), text) << size;
    EXPECT_EQ(decompress(text).value(), text) << size;
  }
}

TEST(Decompressor, ReadsSeveralMembersAsOne) {
  EXPECT_EQ(decompress(gzip("one") + gzip("two")).value(), "onetwo");
  EXPECT_EQ(decompress(zstd("one") + zstd("two")).value(), "onetwo");
}

TEST(Decompressor, RefusesStreamsCutShortOrDamaged) {
  const std::string text = sample(100'000);
  for (const std::string& whole : {gzip(text), zstd(text)}) {
    EXPECT_TRUE(decompress(whole.substr(0, whole.size() / 2)).has_error());
    EXPECT_TRUE(decompress(whole.substr(0, whole.size() - 1)).has_error());
    std::string damaged = whole;
    damaged[damaged.size() / 2] ^= 0x55;
    const auto result = decompress(damaged);
    EXPECT_TRUE(result.has_error() || *result != text);
  }
}

TEST(HashingSource, GivesTheDigestOfWhatPassed) {
  StringSource source("abc");
  HashingSource hashing(source);
  EXPECT_EQ(read_to_end(hashing, 100).value(), "abc");
  EXPECT_EQ(hashing.digest(),
            "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

}  // namespace
}  // namespace lab::engine::layer
