// SHA-256 and the encodings of digests, keys and tokens.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "base/error.hpp"

namespace lab {

// Incremental SHA-256.
class Sha256 {
 public:
  Sha256();
  Sha256(Sha256&&) noexcept;
  Sha256& operator=(Sha256&&) noexcept;
  ~Sha256();
  void update(std::string_view bytes);
  // 32 raw bytes. The object is spent afterwards.
  [[nodiscard]] std::string finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// 32 raw bytes.
[[nodiscard]] std::string sha256(std::string_view bytes);
// 64 hexadecimal digits.
[[nodiscard]] std::string sha256_hex(std::string_view bytes);
// Of a file of any size.
[[nodiscard]] Result<std::string> sha256_hex_of_file(const std::filesystem::path& path);

[[nodiscard]] std::string to_hex(std::string_view bytes);
[[nodiscard]] Result<std::string> from_hex(std::string_view hex);

// RFC 4648, with padding.
[[nodiscard]] std::string base64_encode(std::string_view bytes);
[[nodiscard]] Result<std::string> base64_decode(std::string_view text);
// RFC 4648 section 5; decoding takes padding or none.
[[nodiscard]] std::string base64url_encode(std::string_view bytes, bool padding = true);
[[nodiscard]] Result<std::string> base64url_decode(std::string_view text);

// The bytes as one big-endian number in base 36 (0-9a-z), padded with '0' on the left to `width`
// digits. SwarmKit's join tokens and ids are written so.
[[nodiscard]] std::string base36_encode(std::string_view bytes, std::size_t width);

}  // namespace lab
