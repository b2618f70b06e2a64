#include "engine/network/network.hpp"

#include <algorithm>

#include "engine/util/json.hpp"

namespace lab::engine::network {

namespace json = boost::json;

namespace {

std::string text_or_empty(const std::optional<IpAddress>& address) {
  return address ? address->to_string() : std::string();
}

std::string text_or_empty(const std::optional<Subnet>& subnet) {
  return subnet ? subnet->text() : std::string();
}

json::object to_document(const IpamConfig& config) {
  json::object auxiliary;
  for (const auto& [name, address] : config.auxiliary) auxiliary[name] = address.to_string();
  return json::object{
      {"subnet", config.subnet.text()},        {"range", text_or_empty(config.range)},
      {"gateway", config.gateway.to_string()}, {"auxiliary", std::move(auxiliary)},
      {"subnet_given", config.subnet_given},   {"gateway_given", config.gateway_given}};
}

Result<IpamConfig> ipam_from_document(const json::object& document) {
  IpamConfig config;
  LAB_TRY(config.subnet, Subnet::parse(text_of(document, "subnet")));
  if (std::string range = text_of(document, "range"); !range.empty()) {
    LAB_TRY(config.range, Subnet::parse(range));
  }
  config.gateway = parse_address(text_of(document, "gateway")).value_or(IpAddress());
  for (const auto& [name, value] : object_of(document, "auxiliary")) {
    if (auto address = parse_address(text_of(object_of(document, "auxiliary"), name)))
      config.auxiliary[name] = *address;
  }
  config.subnet_given = flag_of(document, "subnet_given");
  config.gateway_given = flag_of(document, "gateway_given");
  return config;
}

json::object to_document(const Endpoint& endpoint) {
  json::object links;
  for (const auto& [alias, name] : endpoint.links) links[alias] = name;
  return json::object{{"id", endpoint.id},
                      {"network_id", endpoint.network_id},
                      {"network_name", endpoint.network_name},
                      {"serves_names", endpoint.serves_names},
                      {"internal", endpoint.internal},
                      {"host_interface", endpoint.host_interface},
                      {"container_interface", endpoint.container_interface},
                      {"address", text_or_empty(endpoint.address)},
                      {"gateway", text_or_empty(endpoint.gateway)},
                      {"prefix", endpoint.prefix},
                      {"address6", text_or_empty(endpoint.address6)},
                      {"gateway6", text_or_empty(endpoint.gateway6)},
                      {"prefix6", endpoint.prefix6},
                      {"mac", format_mac(endpoint.mac)},
                      {"names", to_array(endpoint.names)},
                      {"links", std::move(links)}};
}

Endpoint endpoint_from_document(const json::object& document) {
  Endpoint endpoint;
  endpoint.id = text_of(document, "id");
  endpoint.network_id = text_of(document, "network_id");
  endpoint.network_name = text_of(document, "network_name");
  endpoint.serves_names = flag_of(document, "serves_names");
  endpoint.internal = flag_of(document, "internal");
  endpoint.host_interface = text_of(document, "host_interface");
  endpoint.container_interface = text_of(document, "container_interface");
  endpoint.address = parse_address(text_of(document, "address"));
  endpoint.gateway = parse_address(text_of(document, "gateway"));
  endpoint.prefix = static_cast<int>(integer_of(document, "prefix"));
  endpoint.address6 = parse_address(text_of(document, "address6"));
  endpoint.gateway6 = parse_address(text_of(document, "gateway6"));
  endpoint.prefix6 = static_cast<int>(integer_of(document, "prefix6"));
  if (Result<MacAddress> mac = parse_mac(text_of(document, "mac"))) endpoint.mac = *mac;
  endpoint.names = texts_of(document, "names");
  const json::object& links = object_of(document, "links");
  for (const auto& link : links) endpoint.links[link.key()] = text_of(links, link.key());
  return endpoint;
}

json::object to_document(const PortMapping& port) {
  return json::object{{"protocol", port.protocol},
                      {"container_port", port.container_port},
                      {"container_address", port.container_address.to_string()},
                      {"host_address", port.host_address.to_string()},
                      {"host_port", port.host_port}};
}

PortMapping port_from_document(const json::object& document) {
  PortMapping port;
  port.protocol = text_of(document, "protocol");
  port.container_port = static_cast<std::uint16_t>(integer_of(document, "container_port"));
  port.container_address =
      parse_address(text_of(document, "container_address")).value_or(IpAddress());
  port.host_address = parse_address(text_of(document, "host_address")).value_or(IpAddress());
  port.host_port = static_cast<std::uint16_t>(integer_of(document, "host_port"));
  return port;
}

}  // namespace

json::object ipam_settings(const IpamConfig& config) {
  json::object settings{{"Subnet", config.subnet.text()}};
  if (config.range) settings["IPRange"] = config.range->text();
  if (config.gateway_given || !config.subnet_given)
    settings["Gateway"] = config.gateway.to_string();
  json::object auxiliary;
  for (const auto& [name, address] : config.auxiliary) auxiliary[name] = address.to_string();
  if (!auxiliary.empty()) settings["AuxiliaryAddresses"] = std::move(auxiliary);
  return settings;
}

const IpamConfig* Network::ipv4() const {
  return !ipam.empty() && ipam.front().subnet.base.is_v4() ? &ipam.front() : nullptr;
}

const IpamConfig* Network::ipv6_config() const {
  return ipv6 && !ipam.empty() && ipam.back().subnet.base.is_v6() ? &ipam.back() : nullptr;
}

std::string Network::option(std::string_view wanted) const { return text_of(options, wanted); }

json::object to_document(const Network& network) {
  json::array ipam;
  for (const IpamConfig& config : network.ipam) ipam.push_back(to_document(config));
  return json::object{{"id", network.id},
                      {"name", network.name},
                      {"driver", network.driver},
                      {"created", network.created},
                      {"ipam", std::move(ipam)},
                      {"ipam_options", network.ipam_options},
                      {"ipv6", network.ipv6},
                      {"internal", network.internal},
                      {"attachable", network.attachable},
                      {"config_only", network.config_only},
                      {"config_from", network.config_from},
                      {"predefined", network.predefined},
                      {"removing", network.removing},
                      {"foreign_interface", network.foreign_interface},
                      {"options", network.options},
                      {"labels", network.labels}};
}

Result<Network> network_from_document(const json::object& document) {
  Network network;
  network.id = text_of(document, "id");
  network.name = text_of(document, "name");
  network.driver = text_of(document, "driver");
  network.created = text_of(document, "created");
  for (const json::value& item : array_of(document, "ipam")) {
    if (!item.is_object()) continue;
    LAB_TRY(IpamConfig config, ipam_from_document(item.get_object()));
    network.ipam.push_back(std::move(config));
  }
  if (const json::value* options = document.if_contains("ipam_options"))
    network.ipam_options = *options;
  network.ipv6 = flag_of(document, "ipv6");
  network.internal = flag_of(document, "internal");
  network.attachable = flag_of(document, "attachable");
  network.config_only = flag_of(document, "config_only");
  network.config_from = text_of(document, "config_from");
  network.predefined = flag_of(document, "predefined");
  network.removing = flag_of(document, "removing");
  network.foreign_interface = flag_of(document, "foreign_interface");
  network.options = object_of(document, "options");
  network.labels = object_of(document, "labels");
  return network;
}

const Endpoint* Sandbox::gateway() const {
  const Endpoint* first = nullptr;
  for (const Endpoint& endpoint : endpoints) {
    if (endpoint.internal || (!endpoint.gateway && !endpoint.gateway6)) continue;
    if (first == nullptr || endpoint.network_name < first->network_name) first = &endpoint;
  }
  return first;
}

const Endpoint* Sandbox::on(const std::string& network_id) const {
  auto found = std::find_if(
      endpoints.begin(), endpoints.end(),
      [&network_id](const Endpoint& endpoint) { return endpoint.network_id == network_id; });
  return found == endpoints.end() ? nullptr : &*found;
}

bool Sandbox::serves_names() const {
  return std::any_of(endpoints.begin(), endpoints.end(),
                     [](const Endpoint& endpoint) { return endpoint.serves_names; });
}

json::object to_document(const Sandbox& sandbox) {
  json::array endpoints;
  for (const Endpoint& endpoint : sandbox.endpoints) endpoints.push_back(to_document(endpoint));
  json::array ports;
  for (const PortMapping& port : sandbox.ports) ports.push_back(to_document(port));
  return json::object{{"id", sandbox.id},
                      {"container_id", sandbox.container_id},
                      {"key", sandbox.key.string()},
                      {"endpoints", std::move(endpoints)},
                      {"ports", std::move(ports)},
                      {"name_servers", to_array(sandbox.name_servers)},
                      {"forwards_single_labels", sandbox.forwards_single_labels}};
}

Sandbox sandbox_from_document(const json::object& document) {
  Sandbox sandbox;
  sandbox.id = text_of(document, "id");
  sandbox.container_id = text_of(document, "container_id");
  sandbox.key = text_of(document, "key");
  for (const json::value& item : array_of(document, "endpoints")) {
    if (item.is_object()) sandbox.endpoints.push_back(endpoint_from_document(item.get_object()));
  }
  for (const json::value& item : array_of(document, "ports")) {
    if (item.is_object()) sandbox.ports.push_back(port_from_document(item.get_object()));
  }
  sandbox.name_servers = texts_of(document, "name_servers");
  sandbox.forwards_single_labels = flag_of(document, "forwards_single_labels", true);
  return sandbox;
}

}  // namespace lab::engine::network
