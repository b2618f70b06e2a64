// Reads a JSON object field by field: what is missing, of the wrong type or unknown is an error
// that names the key, as a path, and the value.
#pragma once

#include <fmt/format.h>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <cstdint>
#include <set>
#include <string>
#include <string_view>

#include "base/error.hpp"

namespace lab::netsim {

class JsonFields {
 public:
  // `where` is the object's own path, empty at the root.
  static Result<JsonFields> of(const boost::json::value& value, std::string where) {
    const auto* object = value.if_object();
    if (object == nullptr) return mismatch(where.empty() ? "the root" : where, value, "an object");
    return JsonFields(*object, std::move(where));
  }

  // The fields refer to the value.
  static Result<JsonFields> of(boost::json::value&& value, std::string where) = delete;
  JsonFields(const boost::json::object& object, std::string where)
      : object_(object), where_(std::move(where)) {}
  JsonFields(boost::json::object&& object, std::string where) = delete;

  // The value, or null when the key is missing.
  const boost::json::value* find(std::string_view key) {
    known_.emplace(key);
    return object_.if_contains(key);
  }
  Result<const boost::json::value*> require(std::string_view key) {
    const auto* value = find(key);
    if (value == nullptr) {
      return make_error(Code::invalid_argument, "{} is missing", path(key));
    }
    return value;
  }
  // A string that is not empty.
  Result<std::string> string(std::string_view key) {
    LAB_TRY(const auto* value, require(key));
    const auto* text = value->if_string();
    if (text == nullptr || text->empty()) return mismatch(path(key), *value, "a string");
    return std::string(*text);
  }
  Result<std::uint16_t> port(std::string_view key, std::int64_t least = 1) {
    LAB_TRY(const auto* value, require(key));
    const auto* number = value->if_int64();
    if (number == nullptr || *number < least || *number > 65535) {
      return mismatch(path(key), *value, fmt::format("a port number, {} to 65535", least));
    }
    return static_cast<std::uint16_t>(*number);
  }
  // Null when the key is missing.
  Result<const boost::json::array*> array(std::string_view key) {
    const auto* value = find(key);
    if (value == nullptr) return static_cast<const boost::json::array*>(nullptr);
    const auto* list = value->if_array();
    if (list == nullptr) return mismatch(path(key), *value, "an array");
    return list;
  }
  // Call it when all fields were read.
  Result<void> no_others() const {
    for (const auto& [key, value] : object_) {
      if (!known_.contains(std::string_view(key))) {
        return make_error(Code::invalid_argument, "{} is not a known key (its value is {})",
                          path(key), shorten(value));
      }
    }
    return {};
  }

  [[nodiscard]] std::string path(std::string_view key) const {
    return where_.empty() ? std::string(key) : fmt::format("{}.{}", where_, key);
  }
  [[nodiscard]] const boost::json::object& object() const { return object_; }

  static Error mismatch(std::string_view path, const boost::json::value& value,
                        std::string_view wanted) {
    return make_error(Code::invalid_argument, "{} is {}, not {}", path, shorten(value), wanted);
  }

 private:
  static std::string shorten(const boost::json::value& value) {
    constexpr std::size_t length_max = 60;
    std::string text = boost::json::serialize(value);
    if (text.size() > length_max) text = text.substr(0, length_max) + "...";
    return text;
  }

  const boost::json::object& object_;
  std::string where_;
  std::set<std::string, std::less<>> known_;
};

}  // namespace lab::netsim
