// What packets of container networks may do, in one nftables table of our own, `inet engined`:
// masquerading of what leaves a bridge, isolation of bridges from each other, and published ports
// (from outside, from the host itself, over loopback, from the container's own network). Published
// ports are elements of maps, so that adding one costs the same with ten or ten thousand of them.
// Every change is one transaction, and the rules outlive this process.
#pragma once

#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "engine/network/address.hpp"

namespace lab::engine::network {

struct PortMapping {
  std::string protocol = "tcp";  // or "udp", "sctp"
  std::uint16_t container_port = 0;
  IpAddress container_address;
  IpAddress host_address;  // unspecified: every address of this family
  std::uint16_t host_port = 0;

  bool operator==(const PortMapping&) const = default;
};

// A bridge as the rules see it.
struct FirewallBridge {
  std::string interface;
  std::vector<Subnet> subnets;
  bool masquerade = true;
  bool inter_container = true;
  bool internal = false;
};

// Thread-safe; calls block. What is published is kept here too, for when bridges change.
class Firewall {
 public:
  // Replaces the whole table, with the `nft` program.
  [[nodiscard]] Result<void> reset(const std::vector<FirewallBridge>& bridges,
                                   const std::vector<PortMapping>& ports);
  // reset() with the ports that are published.
  [[nodiscard]] Result<void> set_bridges(const std::vector<FirewallBridge>& bridges);
  [[nodiscard]] Result<void> publish(const std::vector<PortMapping>& ports);
  [[nodiscard]] Result<void> withdraw(const std::vector<PortMapping>& ports);

 private:
  std::mutex mutex_;
  std::vector<PortMapping> published_;
};

// The text that reset() gives to `nft -f -`.
[[nodiscard]] std::string ruleset(const std::vector<FirewallBridge>& bridges,
                                  const std::vector<PortMapping>& ports);

}  // namespace lab::engine::network
