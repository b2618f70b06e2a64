// What is a machine's own, in the form its image reads: an initrd archive for a recipe machine, a
// NoCloud volume for a cloud image. Made anew at each definition; both hold the SSH host key, so
// their files are readable by their owner only.
#pragma once

#include <string>
#include <vector>

#include "base/error.hpp"
#include "vm/machine.hpp"

namespace lab::vm {

// The MAC of the management NIC. Each machine has one of its own, though no two of these networks
// meet.
[[nodiscard]] std::string management_mac(const MachineId& id);

// 32 hexadecimal digits, the same at each call for the same machine and host key.
[[nodiscard]] std::string machine_identifier(const MachineSpec& spec);

// The identity as files, followed by the spec's own seed files, which win over them.
[[nodiscard]] std::vector<SeedFile> recipe_seed_files(const MachineSpec& spec);

// The part of the initrd that belongs to the machine: guest/init.cpp, its configuration and the
// seed files. Goes after the image's own part. Code::invalid_argument for a seed file whose path is
// not absolute and plain.
[[nodiscard]] Result<std::string> recipe_seed_archive(const MachineSpec& spec);

// The three documents of cloud-init's NoCloud source; YAML, written as JSON.
struct NoCloud {
  std::string meta_data;
  std::string user_data;
  std::string network_config;
};
[[nodiscard]] NoCloud nocloud_documents(const MachineSpec& spec);

// They as an ISO 9660 volume named `cidata`.
[[nodiscard]] Result<std::string> nocloud_volume(const NoCloud& documents);

}  // namespace lab::vm
