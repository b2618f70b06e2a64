// IPv4 addresses and subnets as numbers, for the labfile's checks.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace lab::provision {

[[nodiscard]] std::optional<std::uint32_t> parse_ipv4(std::string_view text);
[[nodiscard]] std::string format_ipv4(std::uint32_t address);

struct Subnet {
  std::uint32_t network = 0;
  unsigned prefix = 24;
  [[nodiscard]] std::uint32_t mask() const { return prefix == 0 ? 0 : ~0U << (32 - prefix); }
  [[nodiscard]] std::uint32_t broadcast() const { return network | ~mask(); }
  [[nodiscard]] bool contains(std::uint32_t address) const { return (address & mask()) == network; }
  [[nodiscard]] bool overlaps(const Subnet& other) const {
    return contains(other.network) || other.contains(network);
  }
};

// "192.168.50.0/24"; bits below the prefix must be zero.
[[nodiscard]] std::optional<Subnet> parse_subnet(std::string_view text);

}  // namespace lab::provision
