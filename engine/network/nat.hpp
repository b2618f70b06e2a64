// Address translation for container networks in one nftables table of our own, `ip engined`:
// masquerading of what leaves a bridge, and published ports (from outside, from the host itself,
// over loopback, and from the container's own bridge). Published ports are elements of maps, so
// that adding one costs the same with ten or ten thousand of them. Every change is one transaction.
#pragma once

#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

#include "base/error.hpp"

namespace lab::engine::network {

struct PortMapping {
  std::string protocol = "tcp";  // or "udp"
  std::uint16_t container_port = 0;
  std::uint32_t container_address = 0;  // host byte order
  std::uint32_t host_address = 0;       // 0: every address of the host
  std::uint16_t host_port = 0;

  bool operator==(const PortMapping&) const = default;
};

struct NatBridge {
  std::string interface;
  std::string subnet;  // "172.17.0.0/16"
  bool masquerade = true;
};

// Thread-safe; calls block for the `nft` command.
class Nat {
 public:
  // Replaces the whole table.
  [[nodiscard]] Result<void> reset(const std::vector<NatBridge>& bridges,
                                   const std::vector<PortMapping>& ports);
  [[nodiscard]] Result<void> add(const std::vector<PortMapping>& ports);
  [[nodiscard]] Result<void> remove(const std::vector<PortMapping>& ports);
  // Takes the table away.
  [[nodiscard]] Result<void> clear();

 private:
  std::mutex mutex_;
};

// The text that reset() gives to `nft -f -`.
[[nodiscard]] std::string nat_ruleset(const std::vector<NatBridge>& bridges,
                                      const std::vector<PortMapping>& ports);

}  // namespace lab::engine::network
