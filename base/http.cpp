#include "base/http.hpp"

#include <strings.h>

#include <boost/json/serialize.hpp>
#include <charconv>

namespace lab::http {

namespace {

bool same_name(std::string_view a, std::string_view b) {
  return a.size() == b.size() && strncasecmp(a.data(), b.data(), a.size()) == 0;
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

std::string_view Headers::get(std::string_view name) const {
  for (const auto& [key, value] : fields_) {
    if (same_name(key, name)) return value;
  }
  return {};
}

bool Headers::has(std::string_view name) const {
  return std::any_of(fields_.begin(), fields_.end(),
                     [&](const auto& field) { return same_name(field.first, name); });
}

void Headers::set(std::string_view name, std::string value) {
  remove(name);
  add(name, std::move(value));
}

void Headers::add(std::string_view name, std::string value) {
  fields_.emplace_back(name, std::move(value));
}

void Headers::remove(std::string_view name) {
  std::erase_if(fields_, [&](const auto& field) { return same_name(field.first, name); });
}

Query::Query(std::string_view encoded) {
  while (!encoded.empty()) {
    std::string_view pair = encoded.substr(0, encoded.find('&'));
    encoded.remove_prefix(std::min(encoded.size(), pair.size() + 1));
    if (pair.empty()) continue;
    std::size_t equals = pair.find('=');
    std::string value;
    if (equals != std::string_view::npos) value = url_decode(pair.substr(equals + 1), true);
    fields_.emplace_back(url_decode(pair.substr(0, equals), true), std::move(value));
  }
}

std::string Query::get(std::string_view name, std::string_view fallback) const {
  for (const auto& [key, value] : fields_) {
    if (key == name) return value;
  }
  return std::string(fallback);
}

bool Query::has(std::string_view name) const {
  return std::any_of(fields_.begin(), fields_.end(),
                     [&](const auto& field) { return field.first == name; });
}

std::vector<std::string> Query::all(std::string_view name) const {
  std::vector<std::string> values;
  for (const auto& [key, value] : fields_) {
    if (key == name) values.push_back(value);
  }
  return values;
}

bool Query::flag(std::string_view name, bool fallback) const {
  if (!has(name)) return fallback;
  std::string value = get(name);
  std::transform(value.begin(), value.end(), value.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return !(value.empty() || value == "0" || value == "no" || value == "false" || value == "none");
}

Result<std::int64_t> Query::integer(std::string_view name, std::int64_t fallback) const {
  std::string text = get(name);
  if (text.empty()) return fallback;
  std::int64_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) {
    return make_error(Code::invalid_argument, "parameter {} is \"{}\"; a whole number is needed",
                      name, text);
  }
  return value;
}

std::string_view reason_phrase(int status) {
  static const std::map<int, std::string_view> phrases = {{100, "Continue"},
                                                          {101, "UPGRADED"},
                                                          {200, "OK"},
                                                          {201, "Created"},
                                                          {202, "Accepted"},
                                                          {204, "No Content"},
                                                          {206, "Partial Content"},
                                                          {301, "Moved Permanently"},
                                                          {302, "Found"},
                                                          {304, "Not Modified"},
                                                          {307, "Temporary Redirect"},
                                                          {400, "Bad Request"},
                                                          {401, "Unauthorized"},
                                                          {403, "Forbidden"},
                                                          {404, "Not Found"},
                                                          {405, "Method Not Allowed"},
                                                          {409, "Conflict"},
                                                          {413, "Payload Too Large"},
                                                          {416, "Range Not Satisfiable"},
                                                          {499, "Client Closed Request"},
                                                          {500, "Internal Server Error"},
                                                          {501, "Not Implemented"},
                                                          {503, "Service Unavailable"},
                                                          {504, "Gateway Timeout"}};
  auto found = phrases.find(status);
  return found == phrases.end() ? "Status" : found->second;
}

std::string url_encode(std::string_view text) {
  std::string encoded;
  for (unsigned char c : text) {
    if (std::isalnum(c) != 0 || c == '-' || c == '.' || c == '_' || c == '~') {
      encoded += static_cast<char>(c);
    } else {
      encoded += fmt::format("%{:02X}", c);
    }
  }
  return encoded;
}

std::string url_decode(std::string_view text, bool plus_is_space) {
  std::string decoded;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size() && hex_digit(text[i + 1]) >= 0 &&
        hex_digit(text[i + 2]) >= 0) {
      decoded += static_cast<char>(hex_digit(text[i + 1]) << 4 | hex_digit(text[i + 2]));
      i += 2;
    } else if (text[i] == '+' && plus_is_space) {
      decoded += ' ';
    } else {
      decoded += text[i];
    }
  }
  return decoded;
}

Response json_response(int status, const boost::json::value& body) {
  Response response;
  response.status = status;
  response.headers.set("Content-Type", "application/json");
  response.body = boost::json::serialize(body) + "\n";
  return response;
}

Response error_response(const Error& error) {
  boost::json::object body;
  body["message"] = error.message;
  return json_response(http_status(error.code), body);
}

}  // namespace lab::http
