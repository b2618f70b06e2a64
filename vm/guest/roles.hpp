// The two things that the guest's own program does.
#pragma once

namespace lab::guest {

// As the first process, in the initrd. Becomes systemd.
int initialise();

// As a service of a template: waits until the seed is a machine's, makes that machine of this one,
// and ends; sshd and the daemons start after it. Ends at once on a machine that booted with its own
// seed, as the first process has done the work then.
int become_machine();

}  // namespace lab::guest
