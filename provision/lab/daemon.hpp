// labd from the outside: its configuration, whether it runs, starting and ending it.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <optional>
#include <string>

#include "base/error.hpp"
#include "provision/lab/state.hpp"
#include "provision/lab_paths.hpp"
#include "provision/labfile/labfile.hpp"

namespace lab::provision {

[[nodiscard]] std::string labd_config(const LabPaths& paths, const Labfile& labfile,
                                      const LabState& state,
                                      const std::filesystem::path& cache_root);

// The process that answers at the control socket, told by the kernel; nothing when none does.
[[nodiscard]] std::optional<pid_t> labd_process(const LabPaths& paths);

// Runs with exactly this configuration afterwards: starts `program`, or has the running one read
// the changed file. True when something was done.
[[nodiscard]] Result<bool> ensure_labd(const LabPaths& paths, const std::string& config,
                                       const std::filesystem::path& program);

// Asks it to end and waits; kills it when it does not.
[[nodiscard]] Result<void> stop_labd(const LabPaths& paths);

// No frame moves between the machines from one to the other; `discard` throws away those that wait.
// Nothing to do without a labd.
[[nodiscard]] Result<void> pause_network(const LabPaths& paths);
[[nodiscard]] Result<void> resume_network(const LabPaths& paths, bool discard);

// Process ids of QEMU by the SSH port that it forwards; 0 for those that don't run.
[[nodiscard]] std::map<std::string, pid_t> machine_processes(const LabState& state);

}  // namespace lab::provision
