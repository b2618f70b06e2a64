#include "engine/util/json.hpp"

#include <boost/json/error.hpp>
#include <boost/json/parse.hpp>

namespace lab::engine {

namespace json = boost::json;

std::string text_of(const json::object& object, std::string_view key) {
  const json::value* found = object.if_contains(key);
  if (found == nullptr || !found->is_string()) return {};
  return std::string(found->get_string());
}

std::int64_t integer_of(const json::object& object, std::string_view key, std::int64_t fallback) {
  const json::value* found = object.if_contains(key);
  if (found == nullptr || !found->is_number()) return fallback;
  if (found->is_double()) return static_cast<std::int64_t>(found->get_double());
  if (found->is_uint64()) return static_cast<std::int64_t>(found->get_uint64());
  return found->get_int64();
}

bool flag_of(const json::object& object, std::string_view key, bool fallback) {
  const json::value* found = object.if_contains(key);
  return found != nullptr && found->is_bool() ? found->get_bool() : fallback;
}

const json::object& object_of(const json::object& object, std::string_view key) {
  static const json::object none;
  const json::value* found = object.if_contains(key);
  return found != nullptr && found->is_object() ? found->get_object() : none;
}

const json::array& array_of(const json::object& object, std::string_view key) {
  static const json::array none;
  const json::value* found = object.if_contains(key);
  return found != nullptr && found->is_array() ? found->get_array() : none;
}

std::vector<std::string> texts_of(const json::object& object, std::string_view key) {
  std::vector<std::string> texts;
  for (const json::value& item : array_of(object, key)) {
    if (item.is_string()) texts.emplace_back(item.get_string());
  }
  return texts;
}

json::array to_array(const std::vector<std::string>& texts) {
  json::array array;
  array.reserve(texts.size());
  for (const std::string& text : texts) array.emplace_back(text);
  return array;
}

Result<json::object> parse_object(std::string_view text) {
  if (text.find_first_not_of(" \t\r\n") == std::string_view::npos)
    return make_error(Code::internal, "EOF");
  boost::system::error_code failure;
  json::value value = json::parse(text, failure);
  if (failure == json::error::incomplete) return make_error(Code::internal, "unexpected EOF");
  if (failure) return make_error(Code::invalid_argument, "invalid JSON: {}", failure.message());
  if (!value.is_object()) return make_error(Code::invalid_argument, "a JSON object is needed");
  return std::move(value.get_object());
}

}  // namespace lab::engine
