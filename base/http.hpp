// HTTP/1.1 messages, shared by server (http_server.hpp) and client (http_client.hpp). Beast does
// the parsing and stays out of this header.
#pragma once

#include <boost/json/value.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.hpp"

namespace lab::http {

// In the order they were added; names compare without case.
class Headers {
 public:
  Headers() = default;
  Headers(std::initializer_list<std::pair<std::string, std::string>> fields) : fields_(fields) {}
  // The first value, or empty.
  [[nodiscard]] std::string_view get(std::string_view name) const;
  [[nodiscard]] bool has(std::string_view name) const;
  void set(std::string_view name, std::string value);  // replaces
  void add(std::string_view name, std::string value);
  void remove(std::string_view name);
  [[nodiscard]] const std::vector<std::pair<std::string, std::string>>& fields() const {
    return fields_;
  }

 private:
  std::vector<std::pair<std::string, std::string>> fields_;
};

// A decoded query string, in order; the same name may come several times.
class Query {
 public:
  Query() = default;
  explicit Query(std::string_view encoded);
  [[nodiscard]] std::string get(std::string_view name, std::string_view fallback = {}) const;
  [[nodiscard]] bool has(std::string_view name) const;
  [[nodiscard]] std::vector<std::string> all(std::string_view name) const;
  // Docker's booleans: absent, "", "0", "false", "no", "none" are false, all else true.
  [[nodiscard]] bool flag(std::string_view name, bool fallback = false) const;
  // Code::invalid_argument when present and not a number.
  [[nodiscard]] Result<std::int64_t> integer(std::string_view name, std::int64_t fallback) const;

 private:
  std::vector<std::pair<std::string, std::string>> fields_;
};

struct Request {
  std::string method;  // upper case
  std::string target;  // as sent: path and query
  std::string path;    // decoded, without the query
  Query query;
  Headers headers;
};

struct Response {
  int status = 200;
  Headers headers;
  std::string body;
};

[[nodiscard]] std::string_view reason_phrase(int status);
[[nodiscard]] std::string url_encode(
    std::string_view text);  // everything but unreserved characters
[[nodiscard]] std::string url_decode(std::string_view text, bool plus_is_space);

[[nodiscard]] Response json_response(int status, const boost::json::value& body);
// {"message": "..."} with the status of the error's code: Docker's form.
[[nodiscard]] Response error_response(const Error& error);

}  // namespace lab::http
