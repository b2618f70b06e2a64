#include "swarm/api/json_fields.hpp"

namespace lab::swarm::api {

namespace json = boost::json;

namespace {

const json::value* find(const json::object& object, std::string_view name) {
  const json::value* value = object.if_contains(name);
  return value == nullptr || value->is_null() ? nullptr : value;
}

std::string_view go_kind(const json::value& value) {
  switch (value.kind()) {
    case json::kind::object: return "object";
    case json::kind::array: return "array";
    case json::kind::string: return "string";
    case json::kind::bool_: return "bool";
    default: return "number";
  }
}

Error wrong_type(const json::value& value, std::string_view name, std::string_view type) {
  return make_error(Code::invalid_argument,
                    "json: cannot unmarshal {} into Go struct field {} of type {}", go_kind(value),
                    name, type);
}

}  // namespace

Result<json::object> parse_body(const std::string& body) {
  if (body.find_first_not_of(" \t\r\n") == std::string::npos)
    return Error{Code::invalid_argument, "EOF"};
  boost::system::error_code error;
  json::value parsed = json::parse(body, error);
  if (error) {
    char first = body[body.find_first_not_of(" \t\r\n")];
    if (first != '{') {
      return make_error(Code::invalid_argument,
                        "invalid character '{}' looking for beginning of value", first);
    }
    return make_error(Code::invalid_argument, "invalid JSON: {}", error.message());
  }
  if (!parsed.is_object()) return wrong_type(parsed, "body", "object");
  return std::move(parsed.as_object());
}

bool has_value(const json::object& object, std::string_view name) {
  return find(object, name) != nullptr;
}

Result<std::string> text_field(const json::object& object, std::string_view name) {
  const json::value* value = find(object, name);
  if (value == nullptr) return std::string();
  if (!value->is_string()) return wrong_type(*value, name, "string");
  return std::string(value->as_string());
}

Result<std::int64_t> integer_field(const json::object& object, std::string_view name) {
  const json::value* value = find(object, name);
  if (value == nullptr) return std::int64_t{0};
  boost::system::error_code error;
  auto number = value->to_number<std::int64_t>(error);
  if (error) return wrong_type(*value, name, "int64");
  return number;
}

Result<bool> boolean_field(const json::object& object, std::string_view name) {
  const json::value* value = find(object, name);
  if (value == nullptr) return false;
  if (!value->is_bool()) return wrong_type(*value, name, "bool");
  return value->as_bool();
}

Result<json::object> object_field(const json::object& object, std::string_view name) {
  const json::value* value = find(object, name);
  if (value == nullptr) return json::object();
  if (!value->is_object()) return wrong_type(*value, name, "object");
  return value->as_object();
}

Result<std::map<std::string, std::string>> labels_field(const json::object& object,
                                                        std::string_view name) {
  LAB_TRY(json::object labels, object_field(object, name));
  std::map<std::string, std::string> result;
  for (const auto& [key, value] : labels) {
    if (!value.is_string()) return wrong_type(value, name, "string");
    result.emplace(key, value.as_string());
  }
  return result;
}

Result<std::vector<std::string>> texts_field(const json::object& object, std::string_view name) {
  const json::value* value = find(object, name);
  std::vector<std::string> result;
  if (value == nullptr) return result;
  if (!value->is_array()) return wrong_type(*value, name, "[]string");
  for (const json::value& item : value->as_array()) {
    if (!item.is_string()) return wrong_type(item, name, "string");
    result.emplace_back(item.as_string());
  }
  return result;
}

}  // namespace lab::swarm::api
