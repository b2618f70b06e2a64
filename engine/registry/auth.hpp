// Who we are to a registry: the client's credentials, the registry's challenges, and tokens.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "base/http.hpp"

namespace lab::engine::registry {

// What the docker command sends in X-Registry-Auth.
struct Credentials {
  std::string username;
  std::string password;
  std::string identity_token;  // instead of a password: an OAuth2 refresh token
  std::string registry_token;  // used as it is
  [[nodiscard]] bool empty() const {
    return username.empty() && identity_token.empty() && registry_token.empty();
  }
};

// The header's value: base64url of a JSON object. Empty text gives empty credentials.
[[nodiscard]] Result<Credentials> parse_auth_header(std::string_view value);
// The JSON object itself, as POST /auth has it.
[[nodiscard]] Result<Credentials> parse_auth_json(std::string_view text);

// One challenge of WWW-Authenticate.
struct Challenge {
  std::string scheme;                             // lower case: "bearer", "basic"
  std::map<std::string, std::string> parameters;  // names in lower case: realm, service, scope
};
// All challenges of all such headers, in order; what does not parse is left out.
[[nodiscard]] std::vector<Challenge> parse_challenges(const http::Headers& headers);

// "Basic ..." for these credentials.
[[nodiscard]] std::string basic_authorization(const Credentials& credentials);

}  // namespace lab::engine::registry
