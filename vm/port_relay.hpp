// Relays of QEMU's user networking: a port of a loopback address on the host that leads to a TCP
// port of a guest through its management NIC. Here: their addresses, and the words of the
// emulator's monitor, which can add and remove them while the machine runs.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "vm/machine.hpp"

namespace lab::vm {

struct PortRelay {
  std::string host_address;
  std::uint16_t host_port = 0;
  std::uint16_t guest_port = 0;
  auto operator<=>(const PortRelay&) const = default;
};

// The loopback address of a machine's relays, "127.x.y.z": its own, so that a port that is taken on
// 127.0.0.1 is free here, and no other machine's relay is mistaken for this one's.
[[nodiscard]] std::string relay_address(const MachineId& id);

// Human monitor commands. They answer with nothing, or with what went wrong.
[[nodiscard]] std::string add_relay_command(const PortRelay& relay);
[[nodiscard]] std::string remove_relay_command(const PortRelay& relay);

// The TCP relays that `info usernet` lists.
[[nodiscard]] std::vector<PortRelay> parse_relays(std::string_view user_network);

}  // namespace lab::vm
