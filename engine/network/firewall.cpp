#include "engine/network/firewall.hpp"

#include <netinet/in.h>

#include <algorithm>
#include <iterator>

#include "base/subprocess.hpp"
#include "engine/network/nft_batch.hpp"

namespace lab::engine::network {

namespace {

constexpr const char* table = "engined";

constexpr std::string_view maps =
    R"(  map any4 { type inet_proto . inet_service : ipv4_addr . inet_service; }
  map address4 { type inet_proto . ipv4_addr . inet_service : ipv4_addr . inet_service; }
  map any6 { type inet_proto . inet_service : ipv6_addr . inet_service; }
  map address6 { type inet_proto . ipv6_addr . inet_service : ipv6_addr . inet_service; }
  chain published {
    dnat ip to meta l4proto . ip daddr . th dport map @address4
    dnat ip to meta l4proto . th dport map @any4
    dnat ip6 to meta l4proto . ip6 daddr . th dport map @address6
    dnat ip6 to meta l4proto . th dport map @any6
  }
  chain prerouting {
    type nat hook prerouting priority dstnat;
    fib daddr type local jump published
  }
  chain output {
    type nat hook output priority -100;
    ip6 daddr ::1 accept
    fib daddr type local jump published
  }
)";

// With route_localnet, which lets the host reach published ports on 127.0.0.1, a container could
// reach what listens on the host's loopback.
constexpr std::string_view loopback_chain = R"(  chain loopback {
    type filter hook prerouting priority raw;
    iifname @bridges ip daddr 127.0.0.0/8 drop
  }
)";

constexpr std::string_view forward_chain = R"(  chain forward {
    type filter hook forward priority filter;
    iifname != @bridges oifname != @bridges accept
    ct state established,related accept
    ct status dnat accept
    iifname . oifname @open accept
    oifname @bridges drop
    iifname @internal drop
  }
)";

Result<void> run_nft(std::string script) {
  Command command;
  command.argv = {"nft", "-f", "-"};
  command.input = std::move(script);
  command.environment["PATH"] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
  // Loading the kernel modules takes long on an emulated machine that boots.
  command.timeout = std::chrono::seconds(60);
  LAB_CHECK(run_checked(command));
  return {};
}

std::uint8_t protocol_number(const std::string& name) {
  if (name == "udp") return IPPROTO_UDP;
  return name == "sctp" ? IPPROTO_SCTP : IPPROTO_TCP;
}

// IPv6 to a container that has only IPv4 is no matter of address translation: a relay carries it.
bool is_translated(const PortMapping& port) {
  return port.host_address.is_v4() == port.container_address.is_v4();
}

std::string map_of(const PortMapping& port) {
  return fmt::format("{}{}", port.host_address.is_unspecified() ? "any" : "address",
                     port.host_address.is_v4() ? 4 : 6);
}

NftValue key_of(const PortMapping& port) {
  NftValue key;
  key.protocol(protocol_number(port.protocol));
  if (!port.host_address.is_unspecified()) key.address(port.host_address);
  key.port(port.host_port);
  return key;
}

NftValue target_of(const PortMapping& port) {
  NftValue target;
  target.address(port.container_address).port(port.container_port);
  return target;
}

std::string element_text(const PortMapping& port) {
  std::string address =
      port.host_address.is_unspecified() ? "" : port.host_address.to_string() + " . ";
  return fmt::format("add element inet {} {} {{ {} . {}{} : {} . {} }}\n", table, map_of(port),
                     port.protocol, address, port.host_port, port.container_address.to_string(),
                     port.container_port);
}

// A set of the bridges for which `wanted` holds.
template <typename Wanted>
std::string bridge_set(std::string_view name, const std::vector<FirewallBridge>& bridges,
                       Wanted wanted) {
  std::string elements;
  for (const FirewallBridge& bridge : bridges) {
    if (wanted(bridge))
      elements += fmt::format("{}\"{}\"", elements.empty() ? "" : ", ", bridge.interface);
  }
  if (!elements.empty()) elements = fmt::format(" elements = {{ {} }}", elements);
  return fmt::format("  set {} {{ type ifname;{} }}\n", name, elements);
}

std::string open_set(const std::vector<FirewallBridge>& bridges) {
  std::string elements;
  for (const FirewallBridge& bridge : bridges) {
    if (bridge.inter_container)
      elements +=
          fmt::format("{0}\"{1}\" . \"{1}\"", elements.empty() ? "" : ", ", bridge.interface);
  }
  if (!elements.empty()) elements = fmt::format(" elements = {{ {} }}", elements);
  return fmt::format("  set open {{ type ifname . ifname;{} }}\n", elements);
}

std::string postrouting_chain(const std::vector<FirewallBridge>& bridges) {
  std::string text = "  chain postrouting {\n    type nat hook postrouting priority srcnat;\n";
  auto rule = std::back_inserter(text);
  for (const FirewallBridge& bridge : bridges) {
    for (const Subnet& subnet : bridge.subnets) {
      const char* family = subnet.base.is_v4() ? "ip" : "ip6";
      if (bridge.masquerade && !bridge.internal)
        fmt::format_to(rule, "    {} saddr {} oifname != \"{}\" masquerade\n", family,
                       subnet.text(), bridge.interface);
      // A container that reaches itself or a neighbour through the host's address: the answer has
      // to come back through us.
      fmt::format_to(rule, "    {} saddr {} oifname \"{}\" ct status dnat masquerade\n", family,
                     subnet.text(), bridge.interface);
    }
  }
  text += "    ip saddr 127.0.0.0/8 oifname @bridges masquerade\n  }\n";
  return text;
}

}  // namespace

std::string ruleset(const std::vector<FirewallBridge>& bridges,
                    const std::vector<PortMapping>& ports) {
  std::string text =
      fmt::format("table inet {0} {{}}\ndelete table inet {0}\ntable inet {0} {{\n", table);
  text += bridge_set("bridges", bridges, [](const FirewallBridge&) { return true; });
  text +=
      bridge_set("internal", bridges, [](const FirewallBridge& bridge) { return bridge.internal; });
  text += open_set(bridges);
  text += maps;
  text += loopback_chain;
  text += postrouting_chain(bridges);
  text += forward_chain;
  text += "}\n";
  for (const PortMapping& port : ports) {
    if (is_translated(port)) text += element_text(port);
  }
  return text;
}

Result<void> Firewall::reset(const std::vector<FirewallBridge>& bridges,
                             const std::vector<PortMapping>& ports) {
  std::scoped_lock lock(mutex_);
  published_ = ports;
  return run_nft(ruleset(bridges, published_));
}

Result<void> Firewall::set_bridges(const std::vector<FirewallBridge>& bridges) {
  std::scoped_lock lock(mutex_);
  return run_nft(ruleset(bridges, published_));
}

Result<void> Firewall::publish(const std::vector<PortMapping>& ports) {
  NftBatch batch(NftFamily::inet, table);
  for (const PortMapping& port : ports) {
    if (is_translated(port)) batch.add_element(map_of(port), key_of(port), target_of(port));
  }
  std::scoped_lock lock(mutex_);
  published_.insert(published_.end(), ports.begin(), ports.end());
  return batch.commit();
}

Result<void> Firewall::withdraw(const std::vector<PortMapping>& ports) {
  NftBatch batch(NftFamily::inet, table);
  for (const PortMapping& port : ports) {
    if (is_translated(port)) batch.remove_element(map_of(port), key_of(port), target_of(port));
  }
  std::scoped_lock lock(mutex_);
  std::erase_if(published_, [&ports](const PortMapping& one) {
    return std::find(ports.begin(), ports.end(), one) != ports.end();
  });
  return batch.commit();
}

}  // namespace lab::engine::network
