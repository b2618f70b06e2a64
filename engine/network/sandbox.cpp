#include <charconv>

#include "engine/network/networks.hpp"
#include "engine/util/json.hpp"

namespace lab::engine::network {

namespace json = boost::json;

namespace {

MacAddress parse_mac(std::string_view text) {
  MacAddress mac{};
  for (std::size_t i = 0; i < mac.size() && i * 3 + 2 <= text.size(); ++i)
    std::from_chars(text.data() + i * 3, text.data() + i * 3 + 2, mac[i], 16);
  return mac;
}

}  // namespace

json::object to_json(const Sandbox& sandbox) {
  json::array endpoints;
  for (const Endpoint& endpoint : sandbox.endpoints) {
    endpoints.push_back(json::object{{"id", endpoint.id},
                                     {"network_id", endpoint.network_id},
                                     {"network_name", endpoint.network_name},
                                     {"host_interface", endpoint.host_interface},
                                     {"container_interface", endpoint.container_interface},
                                     {"address", endpoint.address},
                                     {"gateway", endpoint.gateway},
                                     {"prefix", endpoint.prefix},
                                     {"mac", format_mac(endpoint.mac)}});
  }
  json::array ports;
  for (const PortMapping& port : sandbox.ports) {
    ports.push_back(json::object{{"protocol", port.protocol},
                                 {"container_port", port.container_port},
                                 {"container_address", port.container_address},
                                 {"host_address", port.host_address},
                                 {"host_port", port.host_port}});
  }
  return json::object{{"id", sandbox.id},
                      {"key", sandbox.key.string()},
                      {"endpoints", std::move(endpoints)},
                      {"ports", std::move(ports)}};
}

Sandbox sandbox_from_json(const json::object& document) {
  Sandbox sandbox;
  sandbox.id = text_of(document, "id");
  sandbox.key = text_of(document, "key");
  for (const json::value& item : array_of(document, "endpoints")) {
    const json::object& from = item.as_object();
    Endpoint endpoint;
    endpoint.id = text_of(from, "id");
    endpoint.network_id = text_of(from, "network_id");
    endpoint.network_name = text_of(from, "network_name");
    endpoint.host_interface = text_of(from, "host_interface");
    endpoint.container_interface = text_of(from, "container_interface");
    endpoint.address = static_cast<std::uint32_t>(integer_of(from, "address"));
    endpoint.gateway = static_cast<std::uint32_t>(integer_of(from, "gateway"));
    endpoint.prefix = static_cast<int>(integer_of(from, "prefix"));
    endpoint.mac = parse_mac(text_of(from, "mac"));
    sandbox.endpoints.push_back(std::move(endpoint));
  }
  for (const json::value& item : array_of(document, "ports")) {
    const json::object& from = item.as_object();
    PortMapping port;
    port.protocol = text_of(from, "protocol");
    port.container_port = static_cast<std::uint16_t>(integer_of(from, "container_port"));
    port.container_address = static_cast<std::uint32_t>(integer_of(from, "container_address"));
    port.host_address = static_cast<std::uint32_t>(integer_of(from, "host_address"));
    port.host_port = static_cast<std::uint16_t>(integer_of(from, "host_port"));
    sandbox.ports.push_back(std::move(port));
  }
  return sandbox;
}

json::object endpoint_settings(const Endpoint& endpoint) {
  bool addressed = endpoint.address != 0;
  return json::object{{"IPAMConfig", nullptr},
                      {"Links", nullptr},
                      {"Aliases", nullptr},
                      {"NetworkID", endpoint.network_id},
                      {"EndpointID", endpoint.id},
                      {"Gateway", addressed ? format_ipv4(endpoint.gateway) : ""},
                      {"IPAddress", addressed ? format_ipv4(endpoint.address) : ""},
                      {"IPPrefixLen", endpoint.prefix},
                      {"IPv6Gateway", ""},
                      {"GlobalIPv6Address", ""},
                      {"GlobalIPv6PrefixLen", 0},
                      {"MacAddress", addressed ? format_mac(endpoint.mac) : ""},
                      {"DriverOpts", nullptr}};
}

}  // namespace lab::engine::network
