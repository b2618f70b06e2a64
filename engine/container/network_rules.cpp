#include "engine/container/network_rules.hpp"

#include <charconv>

#include "engine/network/address.hpp"
#include "engine/util/json.hpp"

namespace lab::engine::container {

namespace json = boost::json;

namespace {

Error conflicting(std::string_view what) {
  return make_error(Code::invalid_argument, "conflicting options: {}", what);
}

Result<void> check_joined(const json::object& config, const json::object& host_config) {
  if (!text_of(config, "Hostname").empty()) return conflicting("hostname and the network mode");
  if (!array_of(host_config, "Links").empty()) {
    return conflicting(
        "container type network can't be used with links. This would result in undefined "
        "behavior");
  }
  if (!array_of(host_config, "Dns").empty()) return conflicting("dns and the network mode");
  if (!array_of(host_config, "ExtraHosts").empty())
    return conflicting("custom host-to-IP mapping and the network mode");
  return {};
}

Result<void> check_joined_ports(const json::object& config, const json::object& host_config) {
  if (!object_of(host_config, "PortBindings").empty() || flag_of(host_config, "PublishAllPorts"))
    return conflicting("port publishing and the container type network mode");
  if (!object_of(config, "ExposedPorts").empty())
    return conflicting("port exposing and the container type network mode");
  return {};
}

Result<void> check_ports(const json::object& host_config) {
  const json::object& bindings = object_of(host_config, "PortBindings");
  for (const auto& binding : bindings) {
    std::string_view port = binding.key();
    LAB_CHECK(parse_port_range(port.substr(0, port.find('/'))));
    for (const json::value& item : array_of(bindings, binding.key())) {
      if (item.is_object()) LAB_CHECK(parse_port_range(text_of(item.get_object(), "HostPort")));
    }
  }
  return {};
}

Result<void> check_extra_hosts(const json::object& host_config) {
  for (const std::string& entry : texts_of(host_config, "ExtraHosts")) {
    std::size_t colon = entry.find(':');
    if (colon == std::string::npos || colon == 0)
      return make_error(Code::invalid_argument, "bad format for add-host: \"{}\"", entry);
    std::string address = entry.substr(colon + 1);
    if (address != "host-gateway" && !network::parse_address(address)) {
      return make_error(Code::invalid_argument, "invalid IP address in add-host: \"{}\"", address);
    }
  }
  return {};
}

}  // namespace

Result<PortRange> parse_port_range(std::string_view text) {
  PortRange range;
  if (text.empty()) return range;
  const char* end = text.data() + text.size();
  auto [at, failure] = std::from_chars(text.data(), end, range.first);
  bool valid = failure == std::errc() && (at == end || *at == '-');
  range.last = range.first;
  if (valid && at != end) {
    auto [rest, wrong] = std::from_chars(at + 1, end, range.last);
    valid = wrong == std::errc() && rest == end && range.last >= range.first;
  }
  if (!valid) return make_error(Code::invalid_argument, "invalid port specification: \"{}\"", text);
  return range;
}

Result<std::vector<std::string>> check_network_rules(const json::object& config,
                                                     const json::object& host_config) {
  std::vector<std::string> warnings;
  std::string mode = text_of(host_config, "NetworkMode");
  const bool joins = mode.starts_with("container:");
  if (mode == "container" || mode == "container:") {
    return make_error(Code::invalid_argument,
                      "Invalid network mode: invalid container format container:<name|id>");
  }
  if (joins) LAB_CHECK(check_joined(config, host_config));
  if ((joins || mode == "host") && !text_of(config, "MacAddress").empty())
    return conflicting("mac-address and the network mode");
  if (joins) LAB_CHECK(check_joined_ports(config, host_config));
  LAB_CHECK(check_ports(host_config));
  LAB_CHECK(check_extra_hosts(host_config));
  if (mode != "host") return warnings;
  if (!array_of(host_config, "Links").empty()) {
    return conflicting(
        "host type networking can't be used with links. This would result in undefined behavior");
  }
  if (!object_of(host_config, "PortBindings").empty())
    warnings.emplace_back("Published ports are discarded when using host network mode");
  return warnings;
}

}  // namespace lab::engine::container
