// Snapshots of a whole lab: memory and disks of all machines at one instant, under a name, in the
// lab's folder. They are whole copies: machines don't depend on them, nor they on each other.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "provision/lab/facts.hpp"
#include "provision/lab/lab.hpp"

namespace lab::provision {

struct SnapshotInfo {
  std::string name;
  std::string created;  // RFC 3339
  std::vector<std::string> machines;
  std::uint64_t bytes = 0;  // on the disk
};

// By age.
[[nodiscard]] std::vector<SnapshotInfo> list_snapshots(const LabView& lab);

// Of all machines that run; they go on afterwards. Code::conflict for a name that exists.
[[nodiscard]] boost::asio::awaitable<Result<void>> save_snapshot(LabView lab, std::string name,
                                                                 const Clock& clock,
                                                                 Progress& progress);

// The lab as it was, with clocks set right; returns when the nodes that were Ready then are Ready.
// What the machines are now is lost. `programs` is labd's folder. Code::unsupported for a snapshot
// of another emulator or of machines of another size.
[[nodiscard]] boost::asio::awaitable<Result<void>> restore_snapshot(LabView lab, std::string name,
                                                                    std::filesystem::path programs,
                                                                    const Clock& clock,
                                                                    Progress& progress);

[[nodiscard]] Result<void> remove_snapshot(const LabView& lab, const std::string& name);

// From the first to the second; an empty name is the lab as it is now, whose machines must run.
[[nodiscard]] boost::asio::awaitable<Result<std::vector<Change>>> diff_snapshots(
    LabView lab, std::string before, std::string after, const Clock& clock);

}  // namespace lab::provision
