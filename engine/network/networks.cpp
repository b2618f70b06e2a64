#include "engine/network/networks.hpp"

#include <unistd.h>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <charconv>

#include "base/digest.hpp"
#include "base/file.hpp"
#include "base/log.hpp"
#include "base/random.hpp"
#include "engine/network/namespace.hpp"
#include "engine/util/json.hpp"

namespace lab::engine::network {

namespace json = boost::json;

namespace {

constexpr std::string_view kind = "network";
constexpr std::string_view veth_prefix = "veth";

std::uint32_t mask_of(int prefix) { return prefix == 0 ? 0 : 0xffffffffU << (32 - prefix); }

// As Docker derives it, so that a container that gets an address again has the same MAC.
MacAddress mac_for(std::uint32_t address) {
  return {0x02,
          0x42,
          static_cast<std::uint8_t>(address >> 24),
          static_cast<std::uint8_t>(address >> 16),
          static_cast<std::uint8_t>(address >> 8),
          static_cast<std::uint8_t>(address)};
}

Result<std::pair<std::uint32_t, int>> parse_cidr(const std::string& text) {
  std::size_t slash = text.find('/');
  int prefix = -1;
  if (slash != std::string::npos)
    std::from_chars(text.data() + slash + 1, text.data() + text.size(), prefix);
  Result<std::uint32_t> address = parse_ipv4(text.substr(0, slash));
  if (!address || prefix < 1 || prefix > 30)
    return make_error(Code::invalid_argument, "invalid CIDR address: {}", text);
  return std::pair{*address, prefix};
}

json::object to_document(const Network& network) {
  return json::object{{"id", network.id},           {"name", network.name},
                      {"driver", network.driver},   {"created", network.created},
                      {"options", network.options}, {"labels", network.labels}};
}

Result<void> write_sysctl(const std::string& path, std::string_view value) {
  Fd fd(open(("/proc/sys/" + path).c_str(), O_WRONLY | O_CLOEXEC));
  if (!fd || write(fd.get(), value.data(), value.size()) < 0)
    return errno_error(errno, "writing /proc/sys/" + path);
  return {};
}

}  // namespace

std::string Network::subnet_text() const {
  return fmt::format("{}/{}", format_ipv4(subnet), prefix);
}

Result<void> Networks::load() {
  LAB_TRY(auto documents, store_.all(kind));
  for (auto& [key, text] : documents) {
    LAB_TRY(json::object document, parse_object(text));
    Network network;
    network.id = text_of(document, "id");
    network.name = text_of(document, "name");
    network.driver = text_of(document, "driver");
    network.created = text_of(document, "created");
    network.options = object_of(document, "options");
    network.labels = object_of(document, "labels");
    networks_[network.name] = std::move(network);
  }
  LAB_CHECK(add_predefined("none", "null"));
  LAB_CHECK(add_predefined("host", "host"));
  LAB_CHECK(add_predefined("bridge", "bridge"));
  return load_default_bridge();
}

Result<void> Networks::add_predefined(const std::string& name, const std::string& driver) {
  if (networks_.contains(name)) return {};
  Network network;
  network.id = secure_random_hex(32);
  network.name = name;
  network.driver = driver;
  network.created = format_rfc3339(clock_.wall_now());
  std::string text = json::serialize(to_document(network));
  std::string id = network.id;
  networks_[name] = std::move(network);
  return store_.put(kind, id, text);
}

Result<void> Networks::load_default_bridge() {
  Network& bridge = networks_.at("bridge");
  LAB_TRY(auto cidr, parse_cidr(options_.bip));
  bridge.interface = "docker0";
  bridge.gateway = cidr.first;
  bridge.prefix = cidr.second;
  bridge.subnet = cidr.first & mask_of(cidr.second);
  bridge.mtu = options_.mtu;
  bridge.options = json::object{{"com.docker.network.bridge.default_bridge", "true"},
                                {"com.docker.network.bridge.enable_icc", "true"},
                                {"com.docker.network.bridge.enable_ip_masquerade", "true"},
                                {"com.docker.network.bridge.host_binding_ipv4", "0.0.0.0"},
                                {"com.docker.network.bridge.name", bridge.interface},
                                {"com.docker.network.driver.mtu", fmt::format("{}", bridge.mtu)}};
  return {};
}

Result<void> Networks::set_up_bridge(const Network& network) {
  LAB_TRY(Netlink netlink, Netlink::open());
  Result<Link> link = netlink.link(network.interface);
  if (!link && link.error().code == Code::not_found) {
    std::string noise = secure_random_bytes(4);
    MacAddress mac{0x02, 0x42};
    std::copy(noise.begin(), noise.end(), mac.begin() + 2);
    LAB_CHECK(netlink.add_bridge(network.interface, mac));
    link = netlink.link(network.interface);
  }
  if (!link) return std::move(link).error();
  LAB_CHECK(netlink.add_address(link->index, network.gateway, network.prefix));
  LAB_CHECK(netlink.set_up(link->index));
  LAB_CHECK(write_sysctl("net/ipv4/ip_forward", "1"));
  // Lets the host reach published ports on 127.0.0.1.
  return write_sysctl(fmt::format("net/ipv4/conf/{}/route_localnet", network.interface), "1");
}

Result<void> Networks::start(const std::vector<const Sandbox*>& live) {
  LAB_CHECK(make_directories(sandbox_folder()));
  LAB_CHECK(load());
  std::vector<NatBridge> bridges;
  std::vector<PortMapping> mappings;
  for (const auto& [name, network] : networks_) {
    if (network.driver != "bridge") continue;
    used_addresses_[network.id].insert(network.gateway);
    LAB_CHECK(set_up_bridge(network));
    bridges.push_back(NatBridge{network.interface, network.subnet_text(), true});
  }
  for (const Sandbox* sandbox : live) {
    for (const Endpoint& endpoint : sandbox->endpoints)
      used_addresses_[endpoint.network_id].insert(endpoint.address);
    for (const PortMapping& port : sandbox->ports) {
      ports_.adopt(port.protocol, port.host_address, port.host_port);
      mappings.push_back(port);
    }
  }
  remove_stale(live);
  return nat_.reset(bridges, mappings);
}

void Networks::remove_stale(const std::vector<const Sandbox*>& live) {
  std::set<std::string> keys;
  std::set<std::string> interfaces;
  for (const Sandbox* sandbox : live) {
    keys.insert(sandbox->key.string());
    for (const Endpoint& endpoint : sandbox->endpoints) interfaces.insert(endpoint.host_interface);
  }
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(sandbox_folder(), ignored)) {
    if (!keys.contains(entry.path().string())) remove_namespace(entry.path());
  }
  Result<Netlink> netlink = Netlink::open();
  if (!netlink) return;
  Result<std::vector<Link>> links = netlink->links();
  if (!links) return;
  std::set<int> bridges;
  for (const Link& link : *links) {
    for (const auto& [name, network] : networks_) {
      if (!network.interface.empty() && link.name == network.interface) bridges.insert(link.index);
    }
  }
  for (const Link& link : *links) {
    if (!link.name.starts_with(veth_prefix) || !bridges.contains(link.master)) continue;
    if (interfaces.contains(link.name)) continue;
    if (Result<void> gone = netlink->remove_link(link.index); !gone)
      log::warning("stale interface {}: {}", link.name, gone.error().message);
  }
}

const Network* Networks::find(std::string_view name_or_id) const {
  if (auto found = networks_.find(std::string(name_or_id)); found != networks_.end())
    return &found->second;
  const Network* match = nullptr;
  for (const auto& [name, network] : networks_) {
    if (network.id == name_or_id) return &network;
    if (name_or_id.empty() || !network.id.starts_with(name_or_id)) continue;
    if (match != nullptr) return nullptr;
    match = &network;
  }
  return match;
}

std::vector<const Network*> Networks::list() const {
  std::vector<const Network*> all;
  for (const auto& [name, network] : networks_) all.push_back(&network);
  return all;
}

Result<Endpoint> Networks::reserve_endpoint(const Network& network, const SandboxRequest& request) {
  Endpoint endpoint;
  endpoint.id = secure_random_hex(32);
  endpoint.network_id = network.id;
  endpoint.network_name = network.name;
  if (network.driver != "bridge") return endpoint;
  std::set<std::uint32_t>& used = used_addresses_[network.id];
  std::uint32_t last = network.subnet | ~mask_of(network.prefix);
  std::uint32_t address = request.address.value_or(network.subnet + 1);
  if (request.address) {
    if (used.contains(address)) return make_error(Code::internal, "Address already in use");
  } else {
    while (address < last && used.contains(address)) ++address;
    if (address >= last)
      return make_error(Code::internal,
                        "no available IPv4 addresses on this network's address pools: {} ({})",
                        network.name, network.id);
  }
  used.insert(address);
  endpoint.address = address;
  endpoint.gateway = network.gateway;
  endpoint.prefix = network.prefix;
  endpoint.mac = request.mac.value_or(mac_for(address));
  endpoint.host_interface = std::string(veth_prefix) + secure_random_hex(4);
  endpoint.container_interface = "eth0";
  return endpoint;
}

Result<void> Networks::reserve_ports(Sandbox& sandbox, const SandboxRequest& request) {
  for (const PortRequest& wanted : request.ports) {
    PortMapping mapping;
    mapping.protocol = wanted.protocol;
    mapping.container_port = wanted.container_port;
    mapping.container_address = sandbox.endpoints.front().address;
    if (!wanted.host_address.empty()) {
      LAB_TRY(mapping.host_address, parse_ipv4(wanted.host_address));
    }
    Result<std::uint16_t> port = ports_.take_any(wanted.protocol, mapping.host_address,
                                                 wanted.host_port_first, wanted.host_port_last);
    if (!port) {
      return std::move(port).error().wrap(
          "driver failed programming external connectivity on endpoint {} ({})",
          request.container_name, sandbox.endpoints.front().id);
    }
    mapping.host_port = *port;
    sandbox.ports.push_back(mapping);
  }
  return {};
}

Result<Sandbox> Networks::reserve(const SandboxRequest& request) {
  const Network* network = find(request.network);
  if (network == nullptr)
    return make_error(Code::not_found, "network {} not found", request.network);
  Sandbox sandbox;
  sandbox.id = secure_random_hex(32);
  if (network->driver != "host") sandbox.key = sandbox_folder() / sandbox.id.substr(0, 12);
  LAB_TRY(Endpoint endpoint, reserve_endpoint(*network, request));
  sandbox.endpoints.push_back(std::move(endpoint));
  if (network->driver != "bridge") return sandbox;
  if (Result<void> got = reserve_ports(sandbox, request); !got) {
    release(sandbox);
    return std::move(got).error();
  }
  return sandbox;
}

Result<void> Networks::build_endpoint(const Sandbox& sandbox, const Endpoint& endpoint) {
  const Network* network = find(endpoint.network_id);
  if (network == nullptr || endpoint.host_interface.empty()) return {};
  LAB_TRY(Netlink host, Netlink::open());
  LAB_TRY(Link bridge, host.link(network->interface));
  Fd target(open(sandbox.key.c_str(), O_RDONLY | O_CLOEXEC));
  if (!target) return errno_error(errno, fmt::format("opening {}", sandbox.key.string()));
  Netlink::Veth veth;
  veth.name = endpoint.host_interface;
  veth.master = bridge.index;
  veth.peer_name = endpoint.container_interface;
  veth.peer_namespace = target.get();
  veth.peer_mac = endpoint.mac;
  veth.mtu = network->mtu;
  LAB_CHECK(host.add_veth(veth));
  if (sandbox.ports.empty()) return {};
  // With br_netfilter, a published port is translated inside the bridge: a container that calls
  // itself by the host's address gets its frame back on its own port.
  LAB_TRY(Link link, host.link(endpoint.host_interface));
  return host.set_hairpin(link.index);
}

Result<void> Networks::build(const Sandbox& sandbox) {
  if (sandbox.key.empty()) return {};
  LAB_CHECK(create_namespace(sandbox.key, []() -> Result<void> {
    LAB_TRY(Netlink netlink, Netlink::open());
    LAB_TRY(Link loopback, netlink.link("lo"));
    return netlink.set_up(loopback.index);
  }));
  Result<void> done;
  for (const Endpoint& endpoint : sandbox.endpoints) {
    if (endpoint.host_interface.empty()) continue;
    done = build_endpoint(sandbox, endpoint);
    if (!done) break;
    done = inside_namespace(sandbox.key, [&endpoint]() -> Result<void> {
      LAB_TRY(Netlink netlink, Netlink::open());
      LAB_TRY(Link link, netlink.link(endpoint.container_interface));
      LAB_CHECK(netlink.add_address(link.index, endpoint.address, endpoint.prefix));
      LAB_CHECK(netlink.set_up(link.index));
      return netlink.add_default_route(endpoint.gateway);
    });
    if (!done) break;
  }
  if (done) done = nat_.add(sandbox.ports);
  if (!done) tear_down(sandbox);
  return done;
}

void Networks::tear_down(const Sandbox& sandbox) {
  if (Result<void> done = nat_.remove(sandbox.ports); !done)
    log::warning("published ports of sandbox {}: {}", sandbox.id.substr(0, 12),
                 done.error().message);
  // The kernel takes the veth pair away with the namespace.
  if (!sandbox.key.empty()) remove_namespace(sandbox.key);
}

void Networks::release(const Sandbox& sandbox) {
  for (const Endpoint& endpoint : sandbox.endpoints)
    used_addresses_[endpoint.network_id].erase(endpoint.address);
  for (const PortMapping& port : sandbox.ports)
    ports_.give_back(port.protocol, port.host_address, port.host_port);
}

}  // namespace lab::engine::network
