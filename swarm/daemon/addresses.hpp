// Which address a node listens on and which it tells the others, by dockerd's rules: what the user
// names may be an address or a network interface, with a port or without; what he leaves out is
// found when there is only one answer. The error texts are dockerd's.
#pragma once

#include <string>
#include <vector>

#include "base/error.hpp"

namespace lab::swarm::daemon {

struct InterfaceAddress {
  std::string interface;
  std::string address;  // without a zone
  bool ipv6 = false;
  bool loopback = false;
};

// Of interfaces that are up.
[[nodiscard]] Result<std::vector<InterfaceAddress>> system_addresses();

// "0.0.0.0:2377" of "eth0:2377", "0.0.0.0", ...; empty is `invalid_argument`.
[[nodiscard]] Result<std::string> resolve_listen_address(
    const std::string& asked, std::uint16_t default_port,
    const std::vector<InterfaceAddress>& system);

// `listen` is a result of resolve_listen_address. With `asked` empty, the listen address if it is a
// real one, else the system's only address.
[[nodiscard]] Result<std::string> resolve_advertise_address(
    const std::string& asked, const std::string& listen,
    const std::vector<InterfaceAddress>& system);

// The address that this machine would use to speak to `remote` ("10.0.0.1:2377"), without a port.
[[nodiscard]] Result<std::string> address_towards(const std::string& remote);

// HOST:PORT, with brackets around an IPv6 host.
[[nodiscard]] std::string join_host_port(const std::string& host, std::uint16_t port);

}  // namespace lab::swarm::daemon
