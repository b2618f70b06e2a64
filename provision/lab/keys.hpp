// A lab's keys and certificates: made once, before anything boots, in files that only their user
// can read. Private keys never leave the host, but for a machine's own host key and a registry's.
#pragma once

#include <string>

#include "base/clock.hpp"
#include "base/error.hpp"
#include "provision/lab/state.hpp"
#include "provision/lab_paths.hpp"
#include "provision/labfile/labfile.hpp"
#include "provision/ssh.hpp"
#include "provision/ssh_keys.hpp"

namespace lab::provision {

// The key that opens every machine of the lab (root), and one host key for each machine.
[[nodiscard]] Result<SshKeyPair> ensure_user_key(const LabPaths& paths);
[[nodiscard]] Result<SshKeyPair> ensure_host_key(const LabPaths& paths, const std::string& machine);

// known_hosts with the pinned keys and an ssh_config that uses it, for the `ssh` program.
[[nodiscard]] Result<void> write_ssh_files(const LabPaths& paths, const LabState& state);
[[nodiscard]] std::string ssh_config_text(const LabPaths& paths, const LabState& state);

// How to reach a machine of a lab that was brought up before; Code::not_found for an unknown
// machine, with the names there are.
[[nodiscard]] Result<SshTarget> ssh_target(const LabPaths& paths, const LabState& state,
                                           const std::string& machine);

struct Certificate {
  std::string certificate_pem;
  std::string private_key_pem;
};

// The lab's authority, valid for ten years.
[[nodiscard]] Result<Certificate> ensure_authority(const LabPaths& paths, const Clock& clock);
// A server certificate with the machine's address and name, made again when they have changed or it
// ends within a month.
[[nodiscard]] Result<Certificate> ensure_registry_certificate(const LabPaths& paths,
                                                              const Clock& clock,
                                                              const Certificate& authority,
                                                              const MachineConfig& machine,
                                                              const RegistryConfig& registry);

}  // namespace lab::provision
