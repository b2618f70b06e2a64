// What engined may do by itself, narrowed at its start.
#pragma once

#include "base/error.hpp"

namespace lab::engine {

// Gives up the capabilities that nothing in engined uses: kernel modules, the clock, raw devices,
// reboot, mandatory access control, audit and so on. The programs that it starts as root (crun,
// conmon, nft) have them again, for a container may be given any. For the same reason there is no
// no_new_privs here: containers would inherit it, and programs like su would not work in them.
//
// To be called before threads are made, which inherit what is left. Does nothing for other users
// than root.
[[nodiscard]] Result<void> drop_unused_capabilities();

}  // namespace lab::engine
