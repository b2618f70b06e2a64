#include "swarm/ca/join_token.hpp"

#include <algorithm>

#include "base/digest.hpp"
#include "base/random.hpp"

namespace lab::swarm::ca {

namespace {

constexpr std::string_view prefix = "SWMTKN-1-";
constexpr std::size_t digest_digits = 50;
constexpr std::size_t secret_digits = 25;
constexpr std::size_t digest_bytes = 32;

// The value of a digit of base 36, or -1.
int digit_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'z') return c - 'a' + 10;
  return -1;
}

bool is_base36(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return digit_value(c) >= 0; });
}

// The number as `digest_bytes` big-endian bytes; false when it is larger.
bool decode_digest(std::string_view text, std::string& bytes) {
  bytes.assign(digest_bytes, '\0');
  for (char c : text) {
    auto carry = static_cast<unsigned>(digit_value(c));
    for (std::size_t i = digest_bytes; i > 0; --i) {
      unsigned value = static_cast<unsigned char>(bytes[i - 1]) * 36U + carry;
      bytes[i - 1] = static_cast<char>(value & 0xff);
      carry = value >> 8;
    }
    if (carry != 0) return false;
  }
  return true;
}

}  // namespace

std::string make_join_token(std::string_view root_certificate_pem) {
  return fmt::format("{}{}-{}", prefix, base36_encode(sha256(root_certificate_pem), digest_digits),
                     base36_encode(secure_random_bytes(16), secret_digits));
}

Result<JoinToken> parse_join_token(std::string_view text) {
  Error invalid = make_error(Code::invalid_argument, "invalid join token");
  if (!text.starts_with(prefix)) return invalid;
  text.remove_prefix(prefix.size());
  if (text.size() != digest_digits + 1 + secret_digits || text[digest_digits] != '-')
    return invalid;
  std::string_view digest = text.substr(0, digest_digits);
  std::string_view secret = text.substr(digest_digits + 1);
  std::string bytes;
  if (!is_base36(digest) || !is_base36(secret) || !decode_digest(digest, bytes)) return invalid;
  return JoinToken{.root_digest_hex = to_hex(bytes), .secret = std::string(secret)};
}

Result<void> check_root(const JoinToken& token, std::string_view root_certificate_pem) {
  if (sha256_hex(root_certificate_pem) == token.root_digest_hex) return {};
  return make_error(Code::unauthorized, "remote CA does not match fingerprint. Expected: {}",
                    token.root_digest_hex);
}

proto::JoinTokens make_join_tokens(std::string_view root_certificate_pem) {
  proto::JoinTokens tokens;
  tokens.set_worker(make_join_token(root_certificate_pem));
  tokens.set_manager(make_join_token(root_certificate_pem));
  return tokens;
}

}  // namespace lab::swarm::ca
