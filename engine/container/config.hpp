// A container's configuration as the API sends and shows it: Docker's `Config` and `HostConfig`
// documents, completed with their defaults in Docker's order, and merged with the image's.
#pragma once

#include <boost/json/object.hpp>
#include <string>
#include <vector>

#include "base/error.hpp"

namespace lab::engine::container {

// Every member of the template that `given` has (names compare without case, as Go does) in place
// of its default; unknown members are left out. A member of the wrong kind is
// Code::invalid_argument.
[[nodiscard]] Result<boost::json::object> complete_config(const boost::json::object& given);
[[nodiscard]] Result<boost::json::object> complete_host_config(const boost::json::object& given);

// Whether the body of a creation says anything of the configuration.
[[nodiscard]] bool has_config(const boost::json::object& body);

// As complete_config(), of an image's configuration: it may lack labels, which a container's never
// does. What is malformed is given back as it is.
[[nodiscard]] boost::json::object complete_image_config(const boost::json::object& given);

// Fills what the request leaves open from the image's configuration (its member "config"). Names
// the missing command as Docker does.
[[nodiscard]] Result<void> merge_image_config(boost::json::object& config,
                                              const boost::json::object& image_config);

// Entrypoint and Cmd in one; never empty after merge_image_config().
[[nodiscard]] std::vector<std::string> command_line(const boost::json::object& config);

// Checks that need no other object than the documents. check_limits() does the rest.
[[nodiscard]] Result<void> validate(const boost::json::object& config,
                                    const boost::json::object& host_config);

// "SIGTERM", "TERM", "15" -> 15. Code::invalid_argument "Invalid signal: FOO".
[[nodiscard]] Result<int> parse_signal(const std::string& text);

}  // namespace lab::engine::container
