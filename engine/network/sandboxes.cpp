// Containers on networks: taking addresses and ports, building namespaces, and changing networks of
// a container that runs.
#include <algorithm>

#include "base/blocking.hpp"
#include "base/log.hpp"
#include "base/random.hpp"
#include "engine/network/namespace.hpp"
#include "engine/network/netlink.hpp"
#include "engine/network/networks.hpp"
#include "engine/network/sysctl.hpp"
#include "engine/util/json.hpp"

namespace lab::engine::network {

namespace asio = boost::asio;
namespace json = boost::json;

namespace {

constexpr int loopback_index = 1;  // in every namespace

std::string wished_address(const json::object& settings, std::string_view key) {
  return text_of(object_of(settings, "IPAMConfig"), key);
}

Result<IpAddress> take_address(AddressPool& pool, const std::string& wish, const Network& network) {
  if (wish.empty()) {
    Result<IpAddress> any = pool.take_any();
    if (any) return any;
    return make_error(Code::internal,
                      "no available IPv{} addresses on this network's address pools: {} ({})",
                      pool.subnet().base.is_v4() ? 4 : 6, network.name, network.id);
  }
  std::optional<IpAddress> address = parse_address(wish);
  if (!address || !pool.subnet().contains(*address)) {
    return make_error(Code::invalid_argument,
                      "Invalid address {}: It does not belong to any of this network's subnets",
                      wish);
  }
  LAB_CHECK(pool.take(*address));
  return *address;
}

Result<std::vector<IpAddress>> link_local_addresses(const json::object& settings) {
  const std::vector<std::string> wishes =
      texts_of(object_of(settings, "IPAMConfig"), "LinkLocalIPs");
  std::vector<IpAddress> addresses;
  for (const std::string& wish : wishes) {
    if (wish.empty()) continue;
    std::optional<IpAddress> address = parse_address(wish);
    if (!address) {
      return make_error(Code::internal, "Invalid link-local IP address: [{}]",
                        fmt::join(wishes, " "));
    }
    addresses.push_back(*address);
  }
  return addresses;
}

// "db:storage" -> "storage" -> "db".
std::map<std::string, std::string> read_links(const json::object& settings) {
  std::map<std::string, std::string> links;
  for (const std::string& link : texts_of(settings, "Links")) {
    std::size_t colon = link.find(':');
    std::string name = link.substr(0, colon);
    links[colon == std::string::npos ? name : link.substr(colon + 1)] = name;
  }
  return links;
}

// The first "ethN" that the sandbox does not have.
std::string free_interface(const Sandbox& sandbox) {
  for (int number = 0;; ++number) {
    std::string name = fmt::format("eth{}", number);
    bool taken = std::any_of(
        sandbox.endpoints.begin(), sandbox.endpoints.end(),
        [&name](const Endpoint& endpoint) { return endpoint.container_interface == name; });
    if (!taken) return name;
  }
}

// In the sandbox's namespace: the way out is through the gateway endpoint.
Result<void> set_routes(const Sandbox& sandbox) {
  LAB_TRY(Netlink netlink, Netlink::open());
  const Endpoint* gateway = sandbox.gateway();
  if (gateway == nullptr) {
    LAB_CHECK(netlink.remove_default_route(false));
    return netlink.remove_default_route(true);
  }
  LAB_TRY(Link link, netlink.link(gateway->container_interface));
  if (gateway->gateway) LAB_CHECK(netlink.set_default_route(link.index, *gateway->gateway));
  if (gateway->gateway6) LAB_CHECK(netlink.set_default_route(link.index, *gateway->gateway6));
  return {};
}

bool has_ipv6(const Sandbox& sandbox) {
  return std::any_of(sandbox.endpoints.begin(), sandbox.endpoints.end(),
                     [](const Endpoint& endpoint) { return endpoint.address6.has_value(); });
}

bool has_addresses(const Sandbox& sandbox) {
  return std::any_of(sandbox.endpoints.begin(), sandbox.endpoints.end(),
                     [](const Endpoint& endpoint) { return !endpoint.host_interface.empty(); });
}

}  // namespace

Result<void> check_wishes(const Network& network, const json::object& settings) {
  std::string ipv4 = wished_address(settings, "IPv4Address");
  std::string ipv6 = wished_address(settings, "IPv6Address");
  bool wishes_address = !ipv4.empty() || !ipv6.empty();
  if (network.predefined && wishes_address) {
    return make_error(Code::invalid_argument,
                      "user specified IP address is supported on user defined networks only");
  }
  if (network.predefined && !array_of(settings, "Aliases").empty()) {
    return make_error(Code::invalid_argument,
                      "network-scoped alias is supported only for containers in user defined "
                      "networks");
  }
  auto given = [&network](bool v4) {
    return std::any_of(network.ipam.begin(), network.ipam.end(), [v4](const IpamConfig& ipam) {
      return ipam.subnet_given && ipam.subnet.base.is_v4() == v4;
    });
  };
  if ((!ipv4.empty() && !given(true)) || (!ipv6.empty() && !given(false))) {
    return make_error(Code::invalid_argument,
                      "user specified IP address is supported only when connecting to networks "
                      "with user configured subnets");
  }
  return {};
}

Result<void> Networks::reserve_addresses(Endpoint& endpoint, const Network& network,
                                         const json::object& settings) {
  Pools& pools = pools_[network.id];
  if (const IpamConfig* ipv4 = network.ipv4()) {
    LAB_TRY(endpoint.address,
            take_address(pools.ipv4, wished_address(settings, "IPv4Address"), network));
    endpoint.prefix = ipv4->subnet.prefix;
    if (!network.internal) endpoint.gateway = ipv4->gateway;
  }
  if (const IpamConfig* ipv6 = network.ipv6_config()) {
    LAB_TRY(endpoint.address6,
            take_address(pools.ipv6, wished_address(settings, "IPv6Address"), network));
    endpoint.prefix6 = ipv6->subnet.prefix;
    if (!network.internal) endpoint.gateway6 = ipv6->gateway;
  }
  return {};
}

Result<Endpoint> Networks::reserve_endpoint(const SandboxRequest& request,
                                            const EndpointRequest& wanted) {
  LAB_TRY(NetworkPtr network, find(wanted.network));
  if (network->config_only) {
    return make_error(Code::forbidden,
                      "cannot create endpoint: network {} is a configuration only network",
                      network->name);
  }
  LAB_CHECK(check_wishes(*network, wanted.settings));
  Endpoint endpoint;
  endpoint.id = secure_random_hex(32);
  endpoint.network_id = network->id;
  endpoint.network_name = network->name;
  endpoint.serves_names = network->serves_names();
  endpoint.internal = network->internal;
  if (endpoint.serves_names) {
    if (!request.name_generated) endpoint.names.push_back(request.container_name);
    for (std::string& alias : texts_of(wanted.settings, "Aliases"))
      endpoint.names.push_back(std::move(alias));
    endpoint.links = read_links(wanted.settings);
  }
  if (driver_of(*network).has_addresses()) {
    LAB_TRY(endpoint.link_local, link_local_addresses(wanted.settings));
    std::optional<MacAddress> mac;
    if (!wanted.mac.empty()) {
      LAB_TRY(mac, parse_mac(wanted.mac));
    }
    if (Result<void> got = reserve_addresses(endpoint, *network, wanted.settings); !got) {
      Pools& pools = pools_[network->id];
      if (endpoint.address) pools.ipv4.give_back(*endpoint.address);
      return std::move(got).error();
    }
    endpoint.mac = mac ? *mac : mac_for(*endpoint.address);
    endpoint.host_interface = veth_prefix + secure_random_hex(4);
  }
  ++pools_[network->id].endpoints;
  names_.add(endpoint);
  return endpoint;
}

void Networks::release_endpoint(const Endpoint& endpoint) {
  names_.remove(endpoint);
  auto pools = pools_.find(endpoint.network_id);
  if (pools == pools_.end()) return;
  --pools->second.endpoints;
  if (endpoint.address) pools->second.ipv4.give_back(*endpoint.address);
  if (endpoint.address6) pools->second.ipv6.give_back(*endpoint.address6);
}

// As Docker: on the IPv4 address that was named or all of them, and where nothing was named on all
// IPv6 addresses too, under the same number if it is free.
Result<void> Networks::reserve_port(Sandbox& sandbox, const PortRequest& request,
                                    const Endpoint& gateway) {
  NetworkPtr network = by_id(gateway.network_id);
  std::optional<IpAddress> address;
  if (!request.host_address.empty()) {
    address = parse_address(request.host_address);
  } else if (network != nullptr) {
    address = network->publish_on;
  }
  IpAddress any4 = boost::asio::ip::address_v4::any();
  IpAddress any6 = boost::asio::ip::address_v6::any();
  PortMapping mapping;
  mapping.protocol = request.protocol;
  mapping.container_port = request.container_port;
  std::uint16_t first = request.host_port_first;
  std::uint16_t last = request.host_port_last;
  if (!address || address->is_v4()) {
    if (!gateway.address) return {};
    mapping.container_address = *gateway.address;
    mapping.host_address = address.value_or(any4);
    LAB_TRY(mapping.host_port,
            ports_.take_any(request.protocol, mapping.host_address, first, last));
    sandbox.ports.push_back(mapping);
    bool twin = request.host_address.empty() && mapping.host_address == any4;
    if (!twin || !can_bind_ipv6()) return {};
    if (ports_.take(request.protocol, any6, mapping.host_port)) {
      mapping.host_address = any6;
      mapping.container_address = gateway.address6 ? *gateway.address6 : *gateway.address;
      sandbox.ports.push_back(mapping);
      return {};
    }
    if (first == last && first != 0) {
      return make_error(Code::internal, "Bind for :::{} failed: port is already allocated", first);
    }
  }
  if (!gateway.address6 && !gateway.address) return {};
  mapping.container_address = gateway.address6 ? *gateway.address6 : *gateway.address;
  mapping.host_address = address && address->is_v6() ? *address : any6;
  LAB_TRY(mapping.host_port, ports_.take_any(request.protocol, mapping.host_address, first, last));
  sandbox.ports.push_back(mapping);
  return {};
}

Result<void> Networks::reserve_ports(Sandbox& sandbox, const SandboxRequest& request) {
  const Endpoint* gateway = sandbox.gateway();
  if (gateway == nullptr) return {};
  // Those that have to be one certain port come before those that may be any.
  std::vector<const PortRequest*> ordered;
  for (bool certain : {true, false}) {
    for (const PortRequest& wanted : request.ports) {
      if ((wanted.host_port_first != 0) == certain) ordered.push_back(&wanted);
    }
  }
  for (const PortRequest* wanted : ordered) {
    Result<void> got = reserve_port(sandbox, *wanted, *gateway);
    if (!got) {
      return std::move(got).error().wrap(
          "driver failed programming external connectivity on endpoint {} ({})",
          request.container_name, gateway->id);
    }
  }
  return {};
}

Result<Sandbox> Networks::reserve(const SandboxRequest& request) {
  Sandbox sandbox;
  sandbox.id = secure_random_hex(32);
  sandbox.container_id = request.container_id;
  sandbox.key = sandbox_folder() / sandbox.id.substr(0, 12);
  sandbox.name_servers = request.name_servers;
  sandbox.forwards_single_labels = request.forwards_single_labels;
  for (const EndpointRequest& wanted : request.endpoints) {
    Result<Endpoint> endpoint = reserve_endpoint(request, wanted);
    if (!endpoint) {
      release(sandbox);
      return std::move(endpoint).error();
    }
    if (!endpoint->host_interface.empty()) endpoint->container_interface = free_interface(sandbox);
    NetworkPtr network = by_id(endpoint->network_id);
    if (network != nullptr && network->driver == "host") sandbox.key.clear();
    sandbox.endpoints.push_back(std::move(*endpoint));
  }
  if (Result<void> got = reserve_ports(sandbox, request); !got) {
    release(sandbox);
    return std::move(got).error();
  }
  return sandbox;
}

void Networks::release(const Sandbox& sandbox) {
  name_server_.stop(sandbox.id);
  for (const Endpoint& endpoint : sandbox.endpoints) release_endpoint(endpoint);
  for (const PortMapping& port : sandbox.ports) {
    relays_.stop(port);
    ports_.give_back(port.protocol, port.host_address, port.host_port);
  }
}

void Networks::start_relays(const Sandbox& sandbox) {
  for (const PortMapping& port : sandbox.ports) {
    if (needs_relay(port))
      relays_.start(port, ports_.socket_of(port.protocol, port.host_address, port.host_port));
  }
}

Result<void> Networks::join(const Sandbox& sandbox, const Endpoint& endpoint) const {
  NetworkPtr network = by_id(endpoint.network_id);
  if (network == nullptr)
    return make_error(Code::not_found, "network {} not found", endpoint.network_name);
  return driver_of(*network).join(*network, sandbox, endpoint);
}

Result<dns::Sockets> Networks::build(const Sandbox& sandbox) const {
  dns::Sockets sockets;
  if (sandbox.key.empty()) return sockets;
  LAB_CHECK(create_namespace(sandbox.key, [&]() -> Result<void> {
    // As Docker: without an IPv6 address there is no IPv6, not even on loopback.
    bool addressed = has_addresses(sandbox);
    if (addressed && !has_ipv6(sandbox)) try_sysctl("net/ipv6/conf/all/disable_ipv6", "1");
    LAB_TRY(Netlink netlink, Netlink::open());
    LAB_CHECK(netlink.set_up(loopback_index));
    if (!addressed || !sandbox.serves_names()) return {};
    LAB_TRY(sockets, dns::open_sockets());
    return {};
  }));
  return sockets;
}

Result<void> Networks::plug_in(const Sandbox& sandbox) {
  if (!has_addresses(sandbox)) return {};
  for (const Endpoint& endpoint : sandbox.endpoints) LAB_CHECK(join(sandbox, endpoint));
  LAB_CHECK(inside_namespace(sandbox.key, [&sandbox] { return set_routes(sandbox); }));
  return firewall_.publish(sandbox.ports);
}

void Networks::serve(const Sandbox& sandbox, dns::Sockets sockets) {
  start_relays(sandbox);
  if (sockets.udp && sockets.tcp) name_server_.serve(sandbox, std::move(sockets));
}

void Networks::rename(Sandbox& sandbox, const std::string& from, const std::string& to) {
  for (Endpoint& endpoint : sandbox.endpoints) {
    names_.remove(endpoint);
    std::replace(endpoint.names.begin(), endpoint.names.end(), from, to);
    names_.add(endpoint);
  }
}

void Networks::tear_down(const Sandbox& sandbox) {
  if (Result<void> done = firewall_.withdraw(sandbox.ports); !done)
    log::warning("published ports of sandbox {}: {}", sandbox.id.substr(0, 12),
                 done.error().message);
  // The kernel takes the veth pairs away with the namespace.
  if (!sandbox.key.empty()) remove_namespace(sandbox.key);
}

// Published ports lead to the endpoint that is the way out now.
void Networks::move_ports(Sandbox& sandbox) const {
  const Endpoint* gateway = sandbox.gateway();
  if (gateway == nullptr) return;
  for (PortMapping& port : sandbox.ports) {
    if (port.host_address.is_v6() && gateway->address6)
      port.container_address = *gateway->address6;
    else if (gateway->address)
      port.container_address = *gateway->address;
  }
}

asio::awaitable<Result<void>> Networks::connect(Sandbox& sandbox, SandboxRequest request) {
  LAB_CO_TRY(Endpoint endpoint, reserve_endpoint(request, request.endpoints.front()));
  if (!endpoint.host_interface.empty()) endpoint.container_interface = free_interface(sandbox);
  Sandbox after = sandbox;
  after.endpoints.push_back(endpoint);
  after.name_servers = request.name_servers;
  if (after.ports.empty()) {
    if (Result<void> got = reserve_ports(after, request); !got) {
      release_endpoint(endpoint);
      co_return got;
    }
  }
  move_ports(after);
  dns::Sockets sockets;
  bool needs_server = after.serves_names() && !name_server_.serves(sandbox.id);
  Result<void> done = co_await run_blocking<Result<void>>([&]() -> Result<void> {
    LAB_CHECK(join(after, endpoint));
    LAB_CHECK(inside_namespace(after.key, [&]() -> Result<void> {
      LAB_CHECK(set_routes(after));
      if (!needs_server) return {};
      LAB_TRY(sockets, dns::open_sockets());
      return {};
    }));
    if (after.ports == sandbox.ports) return {};
    LAB_CHECK(firewall_.withdraw(sandbox.ports));
    return firewall_.publish(after.ports);
  });
  if (!done) {
    NetworkPtr network = by_id(endpoint.network_id);
    co_await run_on_pool([&] {
      if (network != nullptr) driver_of(*network).leave(*network, endpoint);
    });
    release_endpoint(endpoint);
    co_return done;
  }
  sandbox = after;
  serve(sandbox, std::move(sockets));
  name_server_.update(sandbox);
  co_return Result<void>();
}

asio::awaitable<Result<void>> Networks::disconnect(Sandbox& sandbox, std::string network_id) {
  const Endpoint* found = sandbox.on(network_id);
  if (found == nullptr) co_return Result<void>();
  Endpoint gone = *found;
  Sandbox after = sandbox;
  std::erase_if(after.endpoints, [&gone](const Endpoint& one) { return one.id == gone.id; });
  move_ports(after);
  if (after.gateway() == nullptr) after.ports.clear();
  NetworkPtr network = by_id(network_id);
  Result<void> done = co_await run_blocking<Result<void>>([&]() -> Result<void> {
    if (network != nullptr) driver_of(*network).leave(*network, gone);
    if (!after.key.empty())
      LAB_CHECK(inside_namespace(after.key, [&after] { return set_routes(after); }));
    if (after.ports == sandbox.ports) return {};
    LAB_CHECK(firewall_.withdraw(sandbox.ports));
    return firewall_.publish(after.ports);
  });
  if (!done) co_return done;
  for (const PortMapping& port : sandbox.ports) {
    if (!after.ports.empty()) continue;
    relays_.stop(port);
    ports_.give_back(port.protocol, port.host_address, port.host_port);
  }
  release_endpoint(gone);
  sandbox = after;
  start_relays(sandbox);
  name_server_.update(sandbox);
  co_return Result<void>();
}

}  // namespace lab::engine::network
