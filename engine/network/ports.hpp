// Host ports in use by published container ports. Each is held by a bound socket, so that no other
// program of the host takes it while nftables diverts its traffic; with IPv6, connections to
// containers that have none are accepted on it (relay.hpp).
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <tuple>

#include "base/error.hpp"
#include "base/file.hpp"
#include "engine/network/address.hpp"

namespace lab::engine::network {

class PortRegistry {
 public:
  // Takes `port` on `address` (unspecified: all of its family). Code::internal with Docker's text
  // when another container has it, or another program.
  [[nodiscard]] Result<void> take(const std::string& protocol, const IpAddress& address,
                                  std::uint16_t port);
  // The first free one of [first, last]; first 0 takes any of the dynamic range, in turn.
  [[nodiscard]] Result<std::uint16_t> take_any(const std::string& protocol,
                                               const IpAddress& address, std::uint16_t first,
                                               std::uint16_t last);
  // As take(), and a failure to bind is only logged: at restart, for a container that runs.
  void adopt(const std::string& protocol, const IpAddress& address, std::uint16_t port);
  void give_back(const std::string& protocol, const IpAddress& address, std::uint16_t port);
  // Another descriptor of the socket that holds the port; none when it could not be bound.
  [[nodiscard]] Fd socket_of(const std::string& protocol, const IpAddress& address,
                             std::uint16_t port) const;

 private:
  using Key = std::tuple<std::string, IpAddress, std::uint16_t>;
  [[nodiscard]] bool taken(const Key& key) const;

  std::map<Key, Fd> held_;
  std::map<IpAddress, std::uint16_t> next_dynamic_;
};

// This host has IPv6.
[[nodiscard]] bool can_bind_ipv6();

}  // namespace lab::engine::network
