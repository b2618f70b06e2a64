// Checking and completing what POST /networks/create asks for. The texts and codes are dockerd's.
#include <algorithm>

#include "base/log.hpp"
#include "base/random.hpp"
#include "engine/network/netlink.hpp"
#include "engine/network/networks.hpp"
#include "engine/util/json.hpp"

namespace lab::engine::network {

namespace json = boost::json;

namespace {

constexpr const char* not_a_manager =
    "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to "
    "connect this node to swarm and try again.";

Result<void> check_scope(const CreateRequest& request) {
  if (request.ingress)
    return make_error(Code::forbidden, "Ingress network can only be global scope network");
  if (request.scope == "swarm") {
    return make_error(Code::forbidden,
                      "cannot create a swarm scoped network when swarm is not active");
  }
  if (request.driver == "overlay" || (!request.scope.empty() && request.scope != "local"))
    return make_error(Code::internal, "{}", not_a_manager);
  return {};
}

Result<IpAddress> ipam_address(const std::string& text, std::string_view what) {
  std::optional<IpAddress> address = parse_address(text);
  if (!address) {
    return make_error(Code::internal, "invalid {} address {} in Ipam configuration", what, text);
  }
  return *address;
}

Result<void> read_auxiliary(IpamConfig& ipam, const json::object& given) {
  const json::object& auxiliary = object_of(given, "AuxiliaryAddresses");
  for (const auto& entry : auxiliary) {
    std::string name(entry.key());
    std::string text = text_of(auxiliary, name);
    LAB_TRY(IpAddress address, ipam_address(text, "auxiliary"));
    if (!ipam.subnet.contains(address)) {
      return make_error(Code::forbidden,
                        "auxiliary address: ({}:{}) must belong to the master pool: {}", name, text,
                        ipam.subnet.text());
    }
    ipam.auxiliary[name] = address;
  }
  return {};
}

Result<IpamConfig> read_ipam(const json::object& given) {
  IpamConfig ipam;
  std::string subnet = text_of(given, "Subnet");
  Result<Subnet> parsed = Subnet::parse(subnet);
  if (!parsed)
    return make_error(Code::internal, "Invalid subnet {} : {}", subnet, parsed.error().message);
  ipam.subnet = *parsed;
  ipam.subnet_given = true;
  if (std::string range = text_of(given, "IPRange"); !range.empty()) {
    LAB_TRY(ipam.range, Subnet::parse(range));
    if (!ipam.subnet.contains(ipam.range->base) || ipam.range->prefix < ipam.subnet.prefix) {
      return make_error(Code::invalid_argument, "invalid range {}: it is not inside the subnet {}",
                        range, subnet);
    }
  }
  LAB_CHECK(read_auxiliary(ipam, given));
  if (std::string gateway = text_of(given, "Gateway"); !gateway.empty()) {
    LAB_TRY(ipam.gateway, ipam_address(gateway, "gateway"));
    ipam.gateway_given = true;
  }
  return ipam;
}

// The gateway is the first free address, unless one was asked for.
Result<void> assign_gateway(IpamConfig& ipam) {
  AddressPool pool(ipam.subnet, ipam.range);
  for (const auto& [name, address] : ipam.auxiliary) pool.adopt(address);
  Result<void> taken;
  if (ipam.gateway_given) {
    taken = pool.take(ipam.gateway);
  } else {
    Result<IpAddress> any = pool.take_any();
    if (any)
      ipam.gateway = *any;
    else
      taken = any.error();
  }
  if (taken) return {};
  return make_error(Code::internal, "failed to allocate gateway ({}): {}",
                    ipam.gateway_given ? ipam.gateway.to_string() : "", taken.error().message);
}

bool has_own_settings(const CreateRequest& request) {
  return request.internal || request.ipv6 || !request.options.empty() ||
         !array_of(request.ipam, "Config").empty();
}

}  // namespace

// A warning, when the name is taken and that is no error.
Result<std::string> Networks::check_name(const CreateRequest& request) const {
  for (const char* name : {"bridge", "host", "none", "default"}) {
    if (request.name == name) {
      return make_error(Code::forbidden, "operation is not permitted on predefined {} network ",
                        name);
    }
  }
  std::string warning;
  for (const NetworkPtr& network : list()) {
    if (network->name != request.name && !request.name.empty()) continue;
    if (request.check_duplicate)
      return make_error(Code::conflict, "network with name {} already exists", request.name);
    warning =
        fmt::format("Network with name {} (id : {}) already exists", request.name, network->id);
  }
  if (request.name.find_first_not_of(" \t") == std::string::npos)
    return make_error(Code::internal, "invalid name: {}", request.name);
  return warning;
}

// Takes over what the configuration network says that the request depends on.
Result<void> Networks::apply_configuration(CreateRequest& request) const {
  if (request.config_from.empty()) return {};
  if (request.config_only) {
    return make_error(Code::forbidden,
                      "a configuration network cannot depend on another configuration network");
  }
  if (has_own_settings(request)) {
    return make_error(Code::forbidden,
                      "user specified configurations are not supported if the network depends on "
                      "a configuration network");
  }
  Result<NetworkPtr> found = find(request.config_from);
  if (!found || !(*found)->config_only) {
    return make_error(Code::not_found, "configuration network \"{}\" does not exist",
                      request.config_from);
  }
  request.internal = (*found)->internal;
  request.ipv6 = (*found)->ipv6;
  request.options = (*found)->options;
  json::array configs;
  for (const IpamConfig& ipam : (*found)->ipam) configs.push_back(ipam_settings(ipam));
  request.ipam["Config"] = std::move(configs);
  return {};
}

std::vector<const Network*> Networks::networks_of(const std::string& driver) const {
  std::vector<const Network*> found;
  std::scoped_lock lock(mutex_);
  for (const auto& [id, network] : networks_) {
    if (network->driver == driver && !network->config_only) found.push_back(network.get());
  }
  return found;
}

std::vector<Subnet> Networks::taken_subnets(bool of_host) const {
  std::vector<Subnet> taken;
  for (const NetworkPtr& network : list()) {
    if (network->config_only) continue;
    for (const IpamConfig& ipam : network->ipam) taken.push_back(ipam.subnet);
  }
  if (!of_host) return taken;
  Result<Netlink> netlink = Netlink::open();
  if (!netlink) return taken;
  if (Result<std::vector<Subnet>> routed = netlink->routed_subnets())
    taken.insert(taken.end(), routed->begin(), routed->end());
  return taken;
}

Result<void> Networks::assign_subnets(Network& network, const CreateRequest& request) const {
  for (const json::value& item : array_of(request.ipam, "Config")) {
    LAB_TRY(IpamConfig ipam, read_ipam(item.is_object() ? item.get_object() : json::object()));
    network.ipam.push_back(std::move(ipam));
  }
  std::stable_sort(network.ipam.begin(), network.ipam.end(),
                   [](const IpamConfig& a, const IpamConfig& b) {
                     return a.subnet.base.is_v4() && !b.subnet.base.is_v4();
                   });
  if (network.config_only) return {};
  for (const Subnet& taken : taken_subnets(false)) {
    for (const IpamConfig& ipam : network.ipam) {
      if (ipam.subnet.overlaps(taken)) {
        return make_error(Code::forbidden, "Pool overlaps with other one on this address space");
      }
    }
  }
  if (network.ipv4() == nullptr) {
    std::optional<Subnet> free = free_subnet(docker_default_pools(), taken_subnets(true));
    if (!free) {
      return make_error(Code::internal,
                        "could not find an available, non-overlapping IPv4 address pool among the "
                        "defaults to assign to the network");
    }
    IpamConfig ipam;
    ipam.subnet = *free;
    network.ipam.insert(network.ipam.begin(), ipam);
  }
  if (network.ipv6 && network.ipv6_config() == nullptr) {
    return make_error(Code::internal,
                      "could not find an available, non-overlapping IPv6 address pool among the "
                      "defaults to assign to the network");
  }
  for (IpamConfig& ipam : network.ipam) LAB_CHECK(assign_gateway(ipam));
  return {};
}

Result<Network> Networks::prepare(const CreateRequest& given) const {
  CreateRequest request = given;
  LAB_CHECK(check_scope(request));
  LAB_CHECK(apply_configuration(request));
  if (request.driver.empty()) request.driver = "bridge";
  auto driver = drivers_.find(request.driver);
  if (driver == drivers_.end())
    return make_error(Code::not_found, "plugin \"{}\" not found", request.driver);
  std::string ipam_driver = text_of(request.ipam, "Driver");
  if (!ipam_driver.empty() && ipam_driver != "default")
    return make_error(Code::not_found, "plugin \"{}\" not found", ipam_driver);
  Network network;
  network.id = secure_random_hex(32);
  network.name = request.name;
  network.driver = request.config_only ? "null" : request.driver;
  network.created = format_rfc3339(clock_.wall_now());
  network.ipv6 = request.ipv6;
  network.internal = request.internal;
  network.attachable = request.attachable;
  network.config_only = request.config_only;
  network.config_from = request.config_from;
  network.options = request.options;
  network.labels = request.labels;
  network.mtu = options_.mtu;
  if (const json::value* options = request.ipam.if_contains("Options"))
    network.ipam_options = *options;
  if (driver->second->has_addresses() || network.config_only)
    LAB_CHECK(assign_subnets(network, request));
  if (!network.config_only)
    LAB_CHECK(driver->second->configure(network, networks_of(network.driver)));
  return network;
}

}  // namespace lab::engine::network
