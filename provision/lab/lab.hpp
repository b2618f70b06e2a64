// A lab on this host: what its labfile wants, what state.json remembers, and the operations that
// bring the two together. `up` does whatever is missing and nothing else; all operations can be
// interrupted at any instant and repeated.
#pragma once

#include <sys/types.h>

#include <boost/asio/awaitable.hpp>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "base/error.hpp"
#include "provision/lab/state.hpp"
#include "provision/lab_paths.hpp"
#include "provision/labfile/labfile.hpp"
#include "provision/progress.hpp"
#include "provision/ssh.hpp"
#include "vm/provider.hpp"

namespace lab::provision {

// The lab of a labfile, without touching anything: for verbs that read.
struct LabView {
  Labfile labfile;
  LabPaths paths;
  std::optional<LabState> state;  // empty: never brought up
};
[[nodiscard]] Result<LabView> view_lab(const std::filesystem::path& labfile);
// As above; a lab that was never brought up is Code::not_found, with what to do.
[[nodiscard]] Result<LabView> view_existing_lab(const std::filesystem::path& labfile);

// Code::unavailable, with what to do about it, unless the machine runs: one that is off, suspended
// or paused would keep whoever connects to it waiting. Blocks for the hypervisor's answer.
[[nodiscard]] Result<void> check_running(const LabView& lab, const std::string& machine);

// A session to a machine that runs; the error says what to do when it does not.
[[nodiscard]] Result<SshSession> connect_machine(const LabView& lab, const std::string& machine,
                                                 std::chrono::milliseconds timeout);

struct MachineStatus {
  std::string name;
  std::string address;
  std::string role;
  bool running = false;    // its emulator is there
  bool suspended = false;  // off, with its state on the disk
  pid_t pid = 0;
  std::uint16_t ssh_port = 0;
  std::filesystem::path directory;
};

struct LabStatus {
  std::string name;
  std::string id;
  std::filesystem::path directory;
  pid_t labd_pid = 0;  // 0: does not run
  std::uint16_t mirror_port = 0;
  std::vector<MachineStatus> machines;  // the labfile's order; left-over ones last
};
// Milliseconds; asks neither libvirt nor the machines.
[[nodiscard]] LabStatus lab_status(const LabView& lab);

// Where a machine's disk, seed and console lie.
[[nodiscard]] std::filesystem::path machine_directory(const LabPaths& paths,
                                                      const std::string& machine);

struct UpOptions {
  std::vector<std::string> machines;  // empty: all
  std::filesystem::path programs;     // the folder of labd, engined and swarmd
  std::chrono::seconds boot_timeout{300};
  bool cold = false;  // new machines boot: templates are neither used nor made
};

// True when something had to be done. Code::conflict when another command holds the lab.
[[nodiscard]] boost::asio::awaitable<Result<bool>> bring_up(Labfile labfile, UpOptions options,
                                                            const Clock& clock, Progress& progress);

// Powers machines off (all, and then labd too, when none is named).
[[nodiscard]] boost::asio::awaitable<Result<void>> halt_lab(LabView lab,
                                                            std::vector<std::string> machines,
                                                            Progress& progress);

// Removes machines, processes and the lab's folder. Works on what is left of a broken lab too.
[[nodiscard]] boost::asio::awaitable<Result<void>> destroy_lab(LabView lab,
                                                               std::vector<std::string> machines,
                                                               Progress& progress);

}  // namespace lab::provision
