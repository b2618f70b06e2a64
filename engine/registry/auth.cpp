#include "engine/registry/auth.hpp"

#include <algorithm>
#include <boost/json/parse.hpp>
#include <cctype>

#include "base/digest.hpp"
#include "engine/util/json.hpp"

namespace lab::engine::registry {

namespace json = boost::json;

namespace {

std::string lower(std::string_view text) {
  std::string result(text);
  std::transform(result.begin(), result.end(), result.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return result;
}

bool is_token_character(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 ||
         std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
}

class ChallengeParser {
 public:
  explicit ChallengeParser(std::string_view text) : rest_(text) {}

  std::vector<Challenge> parse() {
    std::vector<Challenge> challenges;
    while (true) {
      skip(" \t,");
      const std::string word = token();
      if (word.empty()) return challenges;
      skip(" \t");
      if (!challenges.empty() && rest_.starts_with('=')) {
        rest_.remove_prefix(1);
        skip(" \t");
        challenges.back().parameters[lower(word)] = value();
      } else {
        challenges.push_back({lower(word), {}});
      }
    }
  }

 private:
  void skip(std::string_view characters) {
    const std::size_t end = rest_.find_first_not_of(characters);
    rest_.remove_prefix(end == std::string_view::npos ? rest_.size() : end);
  }
  std::string token() {
    std::size_t end = 0;
    while (end < rest_.size() && is_token_character(rest_[end])) ++end;
    std::string word(rest_.substr(0, end));
    rest_.remove_prefix(end);
    return word;
  }
  std::string value() {
    if (!rest_.starts_with('"')) return token();
    rest_.remove_prefix(1);
    std::string text;
    while (!rest_.empty() && rest_.front() != '"') {
      if (rest_.front() == '\\' && rest_.size() > 1) rest_.remove_prefix(1);
      text += rest_.front();
      rest_.remove_prefix(1);
    }
    if (!rest_.empty()) rest_.remove_prefix(1);
    return text;
  }

  std::string_view rest_;
};

}  // namespace

Result<Credentials> parse_auth_json(std::string_view text) {
  boost::system::error_code failure;
  const json::value parsed = json::parse(text, failure);
  if (failure || !parsed.is_object()) {
    return Error{Code::invalid_argument, "the credentials are not a JSON object"};
  }
  const json::object& object = parsed.get_object();
  Credentials credentials{text_of(object, "username"), text_of(object, "password"),
                          text_of(object, "identitytoken"), text_of(object, "registrytoken")};
  if (credentials.username.empty()) {
    // "auth" is base64 of USER:PASSWORD.
    if (auto pair = base64_decode(text_of(object, "auth")); pair && !pair->empty()) {
      const std::size_t colon = pair->find(':');
      credentials.username = pair->substr(0, colon);
      if (colon != std::string::npos) credentials.password = pair->substr(colon + 1);
    }
  }
  return credentials;
}

Result<Credentials> parse_auth_header(std::string_view value) {
  if (value.empty()) return Credentials{};
  auto text = base64url_decode(value);
  if (text.has_error()) text = base64_decode(value);
  if (text.has_error()) return std::move(text).error().wrap("X-Registry-Auth");
  return parse_auth_json(*text);
}

std::vector<Challenge> parse_challenges(const http::Headers& headers) {
  std::vector<Challenge> all;
  for (const auto& [name, value] : headers.fields()) {
    if (lower(name) != "www-authenticate") continue;
    for (Challenge& challenge : ChallengeParser(value).parse()) all.push_back(std::move(challenge));
  }
  return all;
}

std::string basic_authorization(const Credentials& credentials) {
  return "Basic " + base64_encode(credentials.username + ":" + credentials.password);
}

}  // namespace lab::engine::registry
