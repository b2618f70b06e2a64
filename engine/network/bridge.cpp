// The "bridge" driver: a bridge device on the host, and for each endpoint a veth pair between it
// and the container's namespace.
#include <fcntl.h>

#include <cerrno>
#include <charconv>

#include "base/file.hpp"
#include "base/log.hpp"
#include "base/random.hpp"
#include "engine/network/driver.hpp"
#include "engine/network/namespace.hpp"
#include "engine/network/netlink.hpp"
#include "engine/network/sysctl.hpp"

namespace lab::engine::network {

namespace {

constexpr const char* option_name = "com.docker.network.bridge.name";
constexpr const char* option_masquerade = "com.docker.network.bridge.enable_ip_masquerade";
constexpr const char* option_icc = "com.docker.network.bridge.enable_icc";
constexpr const char* option_binding = "com.docker.network.bridge.host_binding_ipv4";
constexpr const char* option_mtu = "com.docker.network.driver.mtu";
constexpr std::size_t interface_name_max = IFNAMSIZ - 1;
// As Docker gives link-local addresses their networks.
constexpr int link_local_prefix = 16;
constexpr int link_local_prefix6 = 64;

Error bad_option(std::string_view option, std::string_view value, std::string_view why) {
  return make_error(Code::internal, "failed to parse {} value: {} ({})", option, value, why);
}

// As Go's strconv.ParseBool.
Result<bool> read_flag(const Network& network, const char* option) {
  std::string value = network.option(option);
  for (std::string_view yes : {"", "1", "t", "T", "true", "TRUE", "True"}) {
    if (value == yes) return true;
  }
  for (std::string_view no : {"0", "f", "F", "false", "FALSE", "False"}) {
    if (value == no) return false;
  }
  return bad_option(option, value,
                    fmt::format("strconv.ParseBool: parsing \"{}\": invalid syntax", value));
}

Result<int> read_mtu(const Network& network) {
  std::string value = network.option(option_mtu);
  if (value.empty()) return network.mtu;
  int mtu = 0;
  const char* end = value.data() + value.size();
  auto [at, failure] = std::from_chars(value.data(), end, mtu);
  if (failure != std::errc() || at != end) {
    return bad_option(option_mtu, value,
                      fmt::format("strconv.Atoi: parsing \"{}\": invalid syntax", value));
  }
  if (mtu < 0) return bad_option(option_mtu, value, "negative");
  return mtu == 0 ? network.mtu : mtu;
}

Result<Link> find_or_add_bridge(Netlink& netlink, const std::string& name) {
  Result<Link> link = netlink.link(name);
  if (link || link.error().code != Code::not_found) return link;
  std::string noise = secure_random_bytes(4);
  MacAddress mac{0x02, 0x42};
  std::copy(noise.begin(), noise.end(), mac.begin() + 2);
  LAB_CHECK(netlink.add_bridge(name, mac));
  return netlink.link(name);
}

// In the container's namespace.
Result<void> configure_interface(const Endpoint& endpoint) {
  LAB_TRY(Netlink netlink, Netlink::open());
  LAB_TRY(Link link, netlink.link(endpoint.container_interface));
  const char* disabled = endpoint.address6 ? "0" : "1";
  try_sysctl(fmt::format("net/ipv6/conf/{}/disable_ipv6", endpoint.container_interface), disabled);
  if (endpoint.address6) try_sysctl("net/ipv6/conf/lo/disable_ipv6", "0");
  if (endpoint.address)
    LAB_CHECK(netlink.add_address(link.index, *endpoint.address, endpoint.prefix));
  if (endpoint.address6)
    LAB_CHECK(netlink.add_address(link.index, *endpoint.address6, endpoint.prefix6));
  for (const IpAddress& address : endpoint.link_local) {
    const int prefix = address.is_v4() ? link_local_prefix : link_local_prefix6;
    LAB_CHECK(netlink.add_address(link.index, address, prefix));
  }
  return netlink.set_up(link.index);
}

class BridgeDriver final : public Driver {
 public:
  Result<void> configure(Network& network,
                         const std::vector<const Network*>& others) const override;
  bool has_addresses() const override { return true; }
  Result<void> set_up(Network& network, bool fresh) const override;
  void take_down(const Network& network) const override;
  Result<void> join(const Network& network, const Sandbox& sandbox,
                    const Endpoint& endpoint) const override;
  void leave(const Network& network, const Endpoint& endpoint) const override;
};

Result<void> BridgeDriver::configure(Network& network,
                                     const std::vector<const Network*>& others) const {
  if (network.ipam.size() > 2 ||
      (network.ipam.size() == 2 &&
       network.ipam[0].subnet.base.is_v4() == network.ipam[1].subnet.base.is_v4()))
    return make_error(Code::forbidden, "bridge driver doesn't support multiple subnets");
  LAB_TRY(network.masquerade, read_flag(network, option_masquerade));
  LAB_TRY(network.inter_container, read_flag(network, option_icc));
  LAB_TRY(network.mtu, read_mtu(network));
  if (std::string binding = network.option(option_binding); !binding.empty()) {
    network.publish_on = parse_address(binding);
    if (!network.publish_on) return bad_option(option_binding, binding, "nil ip");
  }
  network.interface = network.option(option_name);
  if (network.interface.empty()) network.interface = network.generated_interface();
  if (network.interface.size() > interface_name_max ||
      network.interface.find_first_of("/ \"\t\n") != std::string::npos) {
    return make_error(Code::internal,
                      "failed to check bridge interface existence: numerical result out of range");
  }
  for (const Network* other : others) {
    if (other->interface != network.interface) continue;
    return make_error(Code::forbidden,
                      "cannot create network {0} ({1}): conflicts with network {2} ({1}): networks "
                      "have same bridge name",
                      network.id, network.interface, other->id);
  }
  return {};
}

Result<void> BridgeDriver::set_up(Network& network, bool fresh) const {
  LAB_TRY(Netlink netlink, Netlink::open());
  if (fresh) network.foreign_interface = static_cast<bool>(netlink.link(network.interface));
  LAB_TRY(Link link, find_or_add_bridge(netlink, network.interface));
  if (const IpamConfig* ipv4 = network.ipv4()) {
    LAB_CHECK(netlink.add_address(link.index, ipv4->gateway, ipv4->subnet.prefix));
    LAB_CHECK(write_sysctl("net/ipv4/ip_forward", "1"));
  }
  if (const IpamConfig* ipv6 = network.ipv6_config()) {
    try_sysctl(fmt::format("net/ipv6/conf/{}/disable_ipv6", network.interface), "0");
    try_sysctl(fmt::format("net/ipv6/conf/{}/accept_ra", network.interface), "0");
    LAB_CHECK(netlink.add_address(link.index, ipv6->gateway, ipv6->subnet.prefix));
    LAB_CHECK(write_sysctl("net/ipv6/conf/all/forwarding", "1"));
  }
  LAB_CHECK(netlink.set_up(link.index));
  // Lets the host reach published ports on 127.0.0.1.
  return write_sysctl(fmt::format("net/ipv4/conf/{}/route_localnet", network.interface), "1");
}

void BridgeDriver::take_down(const Network& network) const {
  if (network.foreign_interface) return;
  Result<Netlink> netlink = Netlink::open();
  if (!netlink) return;
  Result<Link> link = netlink->link(network.interface);
  if (!link) return;
  if (Result<void> gone = netlink->remove_link(link->index); !gone)
    log::warning("bridge {}: {}", network.interface, gone.error().message);
}

Result<void> BridgeDriver::join(const Network& network, const Sandbox& sandbox,
                                const Endpoint& endpoint) const {
  LAB_TRY(Netlink host, Netlink::open());
  LAB_TRY(Link bridge, host.link(network.interface));
  Fd target(open(sandbox.key.c_str(), O_RDONLY | O_CLOEXEC));
  if (!target) return errno_error(errno, fmt::format("opening {}", sandbox.key.string()));
  Netlink::Veth veth;
  veth.name = endpoint.host_interface;
  veth.master = bridge.index;
  veth.peer_name = endpoint.container_interface;
  veth.peer_namespace = target.get();
  veth.peer_mac = endpoint.mac;
  veth.mtu = network.mtu;
  LAB_CHECK(host.add_veth(veth));
  LAB_CHECK(inside_namespace(sandbox.key, [&endpoint] { return configure_interface(endpoint); }));
  if (sandbox.ports.empty() && network.inter_container) return {};
  LAB_TRY(Link link, host.link(endpoint.host_interface));
  if (!network.inter_container) LAB_CHECK(host.isolate_port(link.index));
  if (sandbox.ports.empty()) return {};
  // With br_netfilter, a published port is translated inside the bridge: a container that calls
  // itself by the host's address gets its frame back on its own port.
  return host.set_hairpin(link.index);
}

void BridgeDriver::leave(const Network& /*network*/, const Endpoint& endpoint) const {
  Result<Netlink> netlink = Netlink::open();
  if (!netlink) return;
  Result<Link> link = netlink->link(endpoint.host_interface);
  if (!link) return;
  if (Result<void> gone = netlink->remove_link(link->index); !gone)
    log::warning("interface {}: {}", endpoint.host_interface, gone.error().message);
}

}  // namespace

std::unique_ptr<Driver> make_bridge_driver() { return std::make_unique<BridgeDriver>(); }

}  // namespace lab::engine::network
