// Shared folders: a folder of this host copied to machines over SFTP, again and again, and each
// time only what has changed since. One way: what a machine changes in a file that came from here
// is replaced by the next sync, what it adds stays.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "base/error.hpp"
#include "provision/lab_paths.hpp"
#include "provision/labfile/labfile.hpp"
#include "provision/ssh.hpp"

namespace lab::provision {

// What a sync did to one folder of a machine.
struct SyncOutcome {
  std::string to;
  std::size_t copied = 0;    // files and links
  std::size_t adjusted = 0;  // mode or time only, and new folders
  std::size_t removed = 0;
  std::uint64_t bytes = 0;

  [[nodiscard]] bool changed() const { return copied + adjusted + removed != 0; }
  // "/vagrant: 3 copied (12 KiB), 1 removed", or "/vagrant: up to date".
  [[nodiscard]] std::string words() const;
};

// Where a machine keeps, for each of its folders, what was put into it.
inline constexpr const char* sync_manifests = "/var/lib/lab/sync";

// Blocks. A file is replaced at once or not at all; what is interrupted is finished by the next
// sync. Code::not_found when the folder is gone here, Code::forbidden for a file that cannot be
// read.
[[nodiscard]] Result<SyncOutcome> sync_folder(SshSession& session, const SyncConfig& config,
                                              const Clock& clock,
                                              const std::string& manifests = sync_manifests);

// All folders of the machine, in their order; waits for another sync of it to end.
[[nodiscard]] Result<std::vector<SyncOutcome>> sync_machine(SshSession& session,
                                                            const LabPaths& paths,
                                                            const MachineConfig& machine,
                                                            const Clock& clock);

}  // namespace lab::provision
