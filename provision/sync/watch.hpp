// Tells when something changes below folders of this host (inotify), a moment after the last of the
// changes that come together.
#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "base/error.hpp"
#include "base/file.hpp"
#include "provision/labfile/labfile.hpp"
#include "provision/sync/tree.hpp"

namespace lab::provision {

class FolderWatch {
 public:
  // What is excluded wakes nobody. Code::unavailable when the kernel's limit of watches is reached,
  // with how to raise it.
  [[nodiscard]] static Result<FolderWatch> open(const std::vector<SyncConfig>& folders,
                                                const Clock& clock);

  // Blocks until something has changed, and then until nothing does for a moment (a second at
  // most). Gives which of the folders, by their place in open()'s list. Whoever looks at them only
  // now misses nothing: later changes are told by the next call. Code::not_found when one of the
  // folders is gone.
  [[nodiscard]] Result<std::set<std::size_t>> wait();

 private:
  struct Folder {
    std::filesystem::path path;
    Exclude exclude;
  };
  struct Place {
    std::size_t folder = 0;
    std::string path;  // from the folder; empty: itself
    auto operator<=>(const Place&) const = default;
  };

  FolderWatch(Fd fd, const Clock& clock) : fd_(std::move(fd)), clock_(&clock) {}
  Result<void> watch_all();
  Result<void> watch(const Place& place);
  Result<void> read_events(std::set<std::size_t>& changed);
  void take_event(int watch, bool is_folder, const std::string& name,
                  std::set<std::size_t>& changed) const;

  Fd fd_;
  const Clock* clock_;
  std::vector<Folder> folders_;
  // One folder of the disk may be below several of ours.
  std::map<int, std::set<Place>> places_;
};

}  // namespace lab::provision
