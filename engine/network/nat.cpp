#include "engine/network/nat.hpp"

#include <iterator>

#include "base/subprocess.hpp"
#include "engine/network/netlink.hpp"

namespace lab::engine::network {

namespace {

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

std::string map_of(const PortMapping& port) {
  return fmt::format("{}_{}", port.protocol, port.host_address == 0 ? "any" : "address");
}

std::string key_of(const PortMapping& port) {
  if (port.host_address == 0) return fmt::format("{}", port.host_port);
  return fmt::format("{} . {}", format_ipv4(port.host_address), port.host_port);
}

std::string element_of(const PortMapping& port) {
  return fmt::format("{} : {} . {}", key_of(port), format_ipv4(port.container_address),
                     port.container_port);
}

void append_bridge_rules(std::string& nat, std::string& filter, const NatBridge& bridge) {
  auto nat_rule = std::back_inserter(nat);
  auto filter_rule = std::back_inserter(filter);
  if (bridge.masquerade)
    fmt::format_to(nat_rule, "    ip saddr {} oifname != \"{}\" masquerade\n", bridge.subnet,
                   bridge.interface);
  // A container that reaches itself or a neighbour through the host's address, and the host itself
  // over loopback: the answer has to come back through us.
  fmt::format_to(nat_rule, "    ip saddr {} oifname \"{}\" ct status dnat masquerade\n",
                 bridge.subnet, bridge.interface);
  fmt::format_to(nat_rule, "    ip saddr 127.0.0.0/8 oifname \"{}\" masquerade\n",
                 bridge.interface);
  fmt::format_to(filter_rule,
                 "    oifname \"{0}\" ct state established,related accept\n"
                 "    oifname \"{0}\" ct status dnat accept\n"
                 "    iifname \"{0}\" accept\n"
                 "    oifname \"{0}\" drop\n",
                 bridge.interface);
}

}  // namespace

std::string nat_ruleset(const std::vector<NatBridge>& bridges,
                        const std::vector<PortMapping>& ports) {
  std::string postrouting;
  std::string forward;
  for (const NatBridge& bridge : bridges) append_bridge_rules(postrouting, forward, bridge);
  std::string text = "table ip engined {}\ndelete table ip engined\ntable ip engined {\n";
  for (const char* protocol : {"tcp", "udp"}) {
    text += fmt::format(
        "  map {0}_any {{ type inet_service : ipv4_addr . inet_service; }}\n"
        "  map {0}_address {{ type ipv4_addr . inet_service : ipv4_addr . inet_service; }}\n",
        protocol);
  }
  text += "  chain published {\n";
  for (const char* protocol : {"tcp", "udp"}) {
    text += fmt::format(
        "    dnat ip to ip daddr . {0} dport map @{0}_address\n"
        "    dnat ip to {0} dport map @{0}_any\n",
        protocol);
  }
  text += "  }\n";
  text +=
      "  chain prerouting {\n    type nat hook prerouting priority dstnat;\n"
      "    fib daddr type local jump published\n  }\n"
      "  chain output {\n    type nat hook output priority -100;\n"
      "    fib daddr type local jump published\n  }\n"
      "  chain postrouting {\n    type nat hook postrouting priority srcnat;\n" +
      postrouting + "  }\n  chain forward {\n    type filter hook forward priority filter;\n" +
      forward + "  }\n}\n";
  for (const PortMapping& port : ports)
    text += fmt::format("add element ip engined {} {{ {} }}\n", map_of(port), element_of(port));
  return text;
}

Result<void> Nat::reset(const std::vector<NatBridge>& bridges,
                        const std::vector<PortMapping>& ports) {
  std::scoped_lock lock(mutex_);
  return run_nft(nat_ruleset(bridges, ports));
}

Result<void> Nat::add(const std::vector<PortMapping>& ports) {
  if (ports.empty()) return {};
  std::string script;
  for (const PortMapping& port : ports)
    script += fmt::format("add element ip engined {} {{ {} }}\n", map_of(port), element_of(port));
  std::scoped_lock lock(mutex_);
  return run_nft(std::move(script));
}

Result<void> Nat::remove(const std::vector<PortMapping>& ports) {
  if (ports.empty()) return {};
  // Adding first makes removal of what is not there no error.
  std::string script;
  for (const PortMapping& port : ports) {
    script += fmt::format(
        "add element ip engined {0} {{ {1} }}\ndelete element ip engined {0} {{ {2} }}\n",
        map_of(port), element_of(port), key_of(port));
  }
  std::scoped_lock lock(mutex_);
  return run_nft(std::move(script));
}

Result<void> Nat::clear() {
  std::scoped_lock lock(mutex_);
  return run_nft("table ip engined {}\ndelete table ip engined\n");
}

}  // namespace lab::engine::network
