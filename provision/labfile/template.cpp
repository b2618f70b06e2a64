#include "provision/labfile/labfile.hpp"

namespace lab::provision {

std::string_view labfile_template() {
  return R"toml(# A lab: some virtual machines, the network between them, a swarm and a registry.
# `lab validate` checks this file, `lab up` makes it real. Lines that begin with "#" are defaults or
# examples. docs/labfile.md explains every key.

# The lab's name: lower-case letters, digits, hyphens.
name = "my-lab"

# What the machines boot: the project's own Debian image, or a cloud image (qcow2) of yours.
[image]
recipe = "debian-12"
# cloud = "debian-12-genericcloud-amd64.qcow2"    # a file beside this one, or a URL
# sha256 = "..."                                  # needed for a URL

# [libvirt]
# uri = "qemu:///session"    # needs no root

# For machines that do not say it themselves.
# [defaults]
# memory = "768MiB"
# cpus = 1
# disk = "8GiB"
# sync = [{ from = ".", to = "/vagrant", exclude = [".git"] }]  # a copy of this folder

[network]
subnet = "192.168.50.0/24"

# The quality of links, in the words of tc-netem. By one machine, by a pair, or by direction.
# [[network.links]]
# between = ["vm1", "vm2"]    # or: machine = "vm1"; or: from = "vm1", to = "vm2"
# delay = "10ms"
# jitter = "2ms"
# loss = "0.5%"
# rate = "10mbit"

[machines.vm1]
address = "192.168.50.4"    # left out: the next free one
role = "manager"            # manager, worker (default) or none
labels = { zone = "dmz" }   # labels of the swarm's node
# memory = "1GiB"

[machines.vm2]
address = "192.168.50.5"
labels = { zone = "lan", type = "storage" }

[machines.vm3]
address = "192.168.50.6"
labels = { zone = "lan" }

# Files are copied and commands run (sh, as root) once the machine is ready, and when they change.
# [[machines.vm1.files]]
# source = "app"              # a file or a folder beside this file; or: content = "text"
# target = "/srv/app"
# mode = "0644"
# [machines.vm1]
# commands = ["mkdir -p /srv/data"]

# Forms a swarm of the machines by their roles.
[swarm]
# leader = "vm1"              # the manager that begins it: by default the first one

# A registry (registry:2) in a container, trusted by every machine.
[[registries]]
machine = "vm1"
port = 443
tls = true
# Keys of the top, before the first [table]: what `lab run` runs; ports of this host for machines.
# scenarios = ["tutorial.md"]; forward = [{ host = 8080, machine = "vm1", port = 80 }]
)toml";
}

}  // namespace lab::provision
