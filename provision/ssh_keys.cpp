#include "provision/ssh_keys.hpp"

#include <openssl/evp.h>

#include <memory>

#include "base/digest.hpp"
#include "base/random.hpp"

namespace lab::provision {

namespace {

constexpr std::string_view key_type = "ssh-ed25519";

struct RawKey {
  std::string seed;
  std::string public_key;
};

Result<RawKey> generate() {
  std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> key(
      EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"), &EVP_PKEY_free);
  RawKey raw{std::string(32, '\0'), std::string(32, '\0')};
  std::size_t size = 32;
  auto bytes = [](std::string& text) { return reinterpret_cast<unsigned char*>(text.data()); };
  if (!key || EVP_PKEY_get_raw_private_key(key.get(), bytes(raw.seed), &size) != 1 ||
      EVP_PKEY_get_raw_public_key(key.get(), bytes(raw.public_key), &size) != 1) {
    return make_error(Code::internal, "OpenSSL could not make an Ed25519 key");
  }
  return raw;
}

// The format of PROTOCOL.key in OpenSSH's sources.
std::string private_key_text(const RawKey& raw, std::string_view blob, std::string_view comment) {
  std::string secret;
  std::string check = secure_random_bytes(4);
  secret += check + check;
  append_ssh_string(secret, key_type);
  append_ssh_string(secret, raw.public_key);
  append_ssh_string(secret, raw.seed + raw.public_key);
  append_ssh_string(secret, comment);
  for (char pad = 1; secret.size() % 8 != 0; ++pad) secret += pad;

  std::string binary("openssh-key-v1\0", 15);
  append_ssh_string(binary, "none");
  append_ssh_string(binary, "none");
  append_ssh_string(binary, "");
  append_ssh_number(binary, 1);
  append_ssh_string(binary, blob);
  append_ssh_string(binary, secret);

  std::string encoded = base64_encode(binary);
  std::string text = "-----BEGIN OPENSSH PRIVATE KEY-----\n";
  for (std::size_t at = 0; at < encoded.size(); at += 70) text += encoded.substr(at, 70) + "\n";
  return text + "-----END OPENSSH PRIVATE KEY-----\n";
}

}  // namespace

void append_ssh_number(std::string& to, std::size_t value) {
  for (int shift = 24; shift >= 0; shift -= 8) to += static_cast<char>((value >> shift) & 0xff);
}

void append_ssh_string(std::string& to, std::string_view bytes) {
  append_ssh_number(to, bytes.size());
  to += bytes;
}

Result<SshKeyPair> make_ssh_key(std::string_view comment) {
  LAB_TRY(RawKey raw, generate());
  std::string blob;
  append_ssh_string(blob, key_type);
  append_ssh_string(blob, raw.public_key);
  return SshKeyPair{private_key_text(raw, blob, comment),
                    std::string(key_type) + " " + base64_encode(blob)};
}

Result<std::string> ssh_public_key_blob(std::string_view public_key) {
  std::size_t space = public_key.find(' ');
  if (space == std::string_view::npos)
    return make_error(Code::invalid_argument, "not a public SSH key: \"{}\"", public_key);
  std::string_view rest = public_key.substr(space + 1);
  rest = rest.substr(0, rest.find_first_of(" \n"));
  return base64_decode(rest);
}

}  // namespace lab::provision
