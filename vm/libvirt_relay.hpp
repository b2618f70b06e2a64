// A domain's relays (port_relay.hpp) through libvirt's passage to QEMU's monitor. All of it blocks.
#pragma once

#include "vm/libvirt_handles.hpp"
#include "vm/port_relay.hpp"

namespace lab::vm {

// The relay to this port of the running domain of machine `id`: the one there is, else a new one.
[[nodiscard]] Result<PortRelay> open_relay(virDomainPtr domain, const MachineId& id,
                                           std::uint16_t guest_port);

// None is fine.
[[nodiscard]] Result<void> close_relay(virDomainPtr domain, const MachineId& id,
                                       std::uint16_t guest_port);

}  // namespace lab::vm
