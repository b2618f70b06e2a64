// JSON as Go's encoding/json reads it, for requests whose errors Docker's clients show.
#pragma once

#include <boost/json/value.hpp>
#include <string_view>

#include "base/error.hpp"

namespace lab::engine {

// The first value in `text`; what follows it is not looked at, as with Go's json.Decoder. Errors
// have Go's texts: "EOF" for nothing, "unexpected EOF", "invalid character 'x' looking for
// beginning of value".
[[nodiscard]] Result<boost::json::value> decode_go_json(std::string_view text);

// Whether `value` can be decoded into `type`, one of the declarations: Go declarations without the
// keyword "type", in which a struct has a line for each field, "NAME TYPE":
//
//   time.Duration int64
//   container.HealthConfig struct {
//     Test []string
//     Interval time.Duration
//   }
//
// Fields that are not declared may be there. A member whose name is a field's but for the case gets
// the field's name, as Go takes it for that field. The error is Go's for the first member that does
// not fit: "json: cannot unmarshal string into Go struct field HealthConfig.Interval of type
// time.Duration".
[[nodiscard]] Result<void> check_go_type(std::string_view declarations, std::string_view type,
                                         boost::json::value& value);

}  // namespace lab::engine
