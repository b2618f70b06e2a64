// Ed25519 keys in OpenSSH's formats, made before a machine's first boot: its host key and the lab's
// user key.
#pragma once

#include <string>
#include <string_view>

#include "base/error.hpp"

namespace lab::provision {

struct SshKeyPair {
  std::string private_key;  // "-----BEGIN OPENSSH PRIVATE KEY-----...", not encrypted
  std::string public_key;   // "ssh-ed25519 BASE64", without a comment
};

// A new key from the system's randomness. The comment is stored in the private key only.
[[nodiscard]] Result<SshKeyPair> make_ssh_key(std::string_view comment);

// The binary form (RFC 4253 6.6) of "ssh-ed25519 BASE64 [comment]".
[[nodiscard]] Result<std::string> ssh_public_key_blob(std::string_view public_key);

// Fields of SSH's messages and keys (RFC 4251 5): uint32 and string.
void append_ssh_number(std::string& to, std::size_t value);
void append_ssh_string(std::string& to, std::string_view bytes);

}  // namespace lab::provision
