// Fields of a JSON request body. Absent and null are the type's zero value, as in Go; a value of
// another type is `invalid_argument` in the words of Go's decoder.
#pragma once

#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"

namespace lab::swarm::api {

[[nodiscard]] Result<boost::json::object> parse_body(const std::string& body);

[[nodiscard]] bool has_value(const boost::json::object& object, std::string_view name);
[[nodiscard]] Result<std::string> text_field(const boost::json::object& object,
                                             std::string_view name);
[[nodiscard]] Result<std::int64_t> integer_field(const boost::json::object& object,
                                                 std::string_view name);
[[nodiscard]] Result<bool> boolean_field(const boost::json::object& object, std::string_view name);
[[nodiscard]] Result<boost::json::object> object_field(const boost::json::object& object,
                                                       std::string_view name);
[[nodiscard]] Result<std::map<std::string, std::string>> labels_field(
    const boost::json::object& object, std::string_view name);
[[nodiscard]] Result<std::vector<std::string>> texts_field(const boost::json::object& object,
                                                           std::string_view name);

}  // namespace lab::swarm::api
