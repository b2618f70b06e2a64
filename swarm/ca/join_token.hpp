// What a new node needs to know to join: `SWMTKN-1-DIGEST-SECRET`. DIGEST pins the swarm's root
// certificate (SHA-256 of its PEM text, base 36, 50 digits), so that the node knows whom it talks
// to before it says anything; SECRET (16 random bytes, base 36, 25 digits) is what it has to show,
// and which of the two a swarm has it shows decides the node's role.
#pragma once

#include <string>
#include <string_view>

#include "base/error.hpp"
#include "swarm/proto/objects.pb.h"

namespace lab::swarm::ca {

struct JoinToken {
  std::string root_digest_hex;  // 64 digits
  std::string secret;           // 25 digits of base 36
};

// A new token for the swarm of this root certificate.
[[nodiscard]] std::string make_join_token(std::string_view root_certificate_pem);

// Docker's texts: "invalid join token" for what is not one.
[[nodiscard]] Result<JoinToken> parse_join_token(std::string_view text);

// `unauthorized` when the certificate is not the one that the token pins.
[[nodiscard]] Result<void> check_root(const JoinToken& token,
                                      std::string_view root_certificate_pem);

// Both tokens anew.
[[nodiscard]] proto::JoinTokens make_join_tokens(std::string_view root_certificate_pem);

}  // namespace lab::swarm::ca
