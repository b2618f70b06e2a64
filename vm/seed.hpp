// What is a machine's own, in the form its image reads from a disk: an archive for a recipe
// machine, a NoCloud volume for a cloud image. Made anew at each definition; both hold the SSH host
// key, so their files are readable by their owner only.
#pragma once

#include <cstdint>
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

// What a template has beside its spec's own seed files: it waits with them.
[[nodiscard]] std::vector<SeedFile> template_seed_files(const MachineSpec& spec);

// What guest/seed.cpp reads. Code::invalid_argument for a seed file whose path is not absolute and
// plain.
[[nodiscard]] Result<std::string> recipe_seed_archive(const MachineSpec& spec);

// The size of the seed's disk, the same for all machines as a template's guest knows it: the
// archive at its beginning, then a hole.
inline constexpr std::uint64_t seed_disk_bytes = std::uint64_t{256} << 20;

// The part of the initrd that is ours: the first program. Goes after the image's own part.
[[nodiscard]] std::string first_program_archive();

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
