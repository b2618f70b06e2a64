// What a request to create a container may say about networks: checks that need no other object.
#pragma once

#include <boost/json/object.hpp>
#include <string>
#include <vector>

#include "base/error.hpp"

namespace lab::engine::container {

// Of the request itself, before the image's configuration is merged in. Docker's texts,
// Code::invalid_argument. Gives warnings.
[[nodiscard]] Result<std::vector<std::string>> check_network_rules(
    const boost::json::object& config, const boost::json::object& host_config);

// "8080", "8000-8010", "" -> first and last; 0 and 0 for none.
struct PortRange {
  std::uint16_t first = 0;
  std::uint16_t last = 0;
};
[[nodiscard]] Result<PortRange> parse_port_range(std::string_view text);

}  // namespace lab::engine::container
