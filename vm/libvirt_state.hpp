// Writing a domain's state to files and starting a domain from them, through libvirt's passage to
// QEMU's monitor: libvirt's own save file holds the memory always, so that every machine that is
// started from one would have to read it. All of it blocks.
#pragma once

#include "vm/libvirt_handles.hpp"
#include "vm/saved_state.hpp"

namespace lab::vm {

// The domain is paused already and stays so. An unfinished file is removed.
[[nodiscard]] Result<void> write_domain_state(virDomainPtr domain, const SavedState& state);

// Starts a defined domain that is off; it is paused then. Nothing runs when this fails.
[[nodiscard]] Result<void> start_domain_from_state(virConnectPtr connection, virDomainPtr domain,
                                                   const SavedState& state);

// Whether a paused domain was started by the above, which ended before it gave it the state.
[[nodiscard]] bool waits_for_state(virDomainPtr domain);

}  // namespace lab::vm
