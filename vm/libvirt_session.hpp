// Where libvirt's per-user daemon is found, and how it is started.
//
// For an ordinary user libvirt's client would start it, as nobody's child: in a container whose
// first process does not reap, an emulator that has ended would stay, and libvirt wait for it in
// vain. So we start it, below a shell that reaps. For root, libvirt's client goes to the system's
// daemon even when a session is asked for; that one may not run, and would run machines as another
// user, who cannot read root's files. So root gets a session daemon too: a libvirtd in a user
// namespace where it is not root, which needs and has no privilege.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "base/error.hpp"

namespace lab::vm {

// The URI to open in place of `uri`: the same, but for root's "qemu:///session". May set
// XDG_RUNTIME_DIR, so call it before threads start.
[[nodiscard]] std::string settle_session_uri(const std::string& uri);

// Whether `uri` came from settle_session_uri() and its daemon is ours to start.
[[nodiscard]] bool session_is_ours_to_start(const std::string& uri);

// Whether such a daemon runs.
[[nodiscard]] bool session_answers();

// Starts it; returns before it answers. It ends by itself two minutes after its last machine.
[[nodiscard]] Result<void> start_session();

// Where the session's libvirt writes what the emulator of this domain says. It leaves the file
// behind when the domain goes.
[[nodiscard]] std::filesystem::path session_log_path(std::string_view domain_name);

}  // namespace lab::vm
