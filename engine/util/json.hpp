// Reading JSON documents of which the shape is not certain: a missing member, null and a member of
// another type all give the fallback.
#pragma once

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"

namespace lab::engine {

[[nodiscard]] std::string text_of(const boost::json::object& object, std::string_view key);
[[nodiscard]] std::int64_t integer_of(const boost::json::object& object, std::string_view key,
                                      std::int64_t fallback = 0);
[[nodiscard]] bool flag_of(const boost::json::object& object, std::string_view key,
                           bool fallback = false);
// Empty objects and arrays stand for what is missing.
[[nodiscard]] const boost::json::object& object_of(const boost::json::object& object,
                                                   std::string_view key);
[[nodiscard]] const boost::json::array& array_of(const boost::json::object& object,
                                                 std::string_view key);
// The strings of an array; other elements are left out.
[[nodiscard]] std::vector<std::string> texts_of(const boost::json::object& object,
                                                std::string_view key);
[[nodiscard]] boost::json::array to_array(const std::vector<std::string>& texts);

// An object from text, with Go's error texts for what Docker's clients see ("EOF", "unexpected
// EOF").
[[nodiscard]] Result<boost::json::object> parse_object(std::string_view text);

}  // namespace lab::engine
