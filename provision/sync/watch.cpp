#include "provision/sync/watch.hpp"

#include <poll.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <cstring>

namespace lab::provision {

namespace fs = std::filesystem;

namespace {

constexpr std::chrono::milliseconds quiet_time(100);
constexpr std::chrono::milliseconds wait_max(1000);
constexpr std::uint32_t events_wanted = IN_CREATE | IN_DELETE | IN_MODIFY | IN_CLOSE_WRITE |
                                        IN_ATTRIB | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE_SELF |
                                        IN_MOVE_SELF | IN_ONLYDIR | IN_DONT_FOLLOW | IN_EXCL_UNLINK;

Error too_many_watches(const fs::path& path) {
  auto limit = read_file("/proc/sys/fs/inotify/max_user_watches");
  return make_error(Code::unavailable,
                    "watching {}: the kernel allows {} watches (fs.inotify.max_user_watches); "
                    "raise it with sysctl, or leave folders out with `exclude`",
                    path.string(),
                    limit ? limit->substr(0, limit->find('\n')) : std::string("no more"));
}

}  // namespace

Result<FolderWatch> FolderWatch::open(const std::vector<SyncConfig>& folders, const Clock& clock) {
  Fd fd(inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  if (!fd) return errno_error(errno, "inotify");
  FolderWatch watch(std::move(fd), clock);
  for (const SyncConfig& folder : folders)
    watch.folders_.push_back({folder.from, Exclude(folder.exclude)});
  LAB_CHECK(watch.watch_all());
  return watch;
}

Result<void> FolderWatch::watch_all() {
  // A folder that is watched already keeps its number.
  places_.clear();
  for (std::size_t i = 0; i < folders_.size(); ++i) LAB_CHECK(watch({i, ""}));
  return {};
}

// The folder first and then what is in it: whatever appears in between is either found or told.
Result<void> FolderWatch::watch(const Place& place) {
  const Folder& folder = folders_[place.folder];
  const fs::path path = folder.path / place.path;
  const int number = inotify_add_watch(fd_.get(), path.c_str(), events_wanted);
  if (number < 0) {
    if (errno == ENOSPC) return too_many_watches(path);
    const bool vanished = errno == ENOENT || errno == ENOTDIR;
    if (vanished && !place.path.empty()) return {};
    return errno_error(errno, "watching " + path.string());
  }
  places_[number].insert(place);
  std::error_code error;
  for (fs::directory_iterator at(path, error), end; !error && at != end; at.increment(error)) {
    std::error_code vanished;
    if (!fs::is_directory(at->symlink_status(vanished))) continue;
    const std::string name = at->path().filename().string();
    const std::string below = place.path.empty() ? name : place.path + "/" + name;
    if (!folder.exclude.matches(below, true)) LAB_CHECK(watch({place.folder, below}));
  }
  return {};
}

void FolderWatch::take_event(int watch, bool is_folder, const std::string& name,
                             std::set<std::size_t>& changed) const {
  const auto places = places_.find(watch);
  if (places == places_.end()) return;
  for (const Place& place : places->second) {
    const std::string path =
        place.path.empty() || name.empty() ? place.path + name : place.path + "/" + name;
    if (path.empty() || !folders_[place.folder].exclude.covers(path, is_folder))
      changed.insert(place.folder);
  }
}

Result<void> FolderWatch::read_events(std::set<std::size_t>& changed) {
  alignas(inotify_event) char buffer[16384];
  for (;;) {
    const ssize_t size = read(fd_.get(), buffer, sizeof buffer);
    if (size < 0 && (errno == EAGAIN || errno == EINTR)) return {};
    if (size <= 0) return errno_error(errno, "reading from inotify");
    for (const char* at = buffer; at < buffer + size;) {
      inotify_event event{};
      std::memcpy(&event, at, sizeof event);
      const std::string name = event.len == 0 ? "" : std::string(at + sizeof event);
      at += sizeof event + event.len;
      if ((event.mask & IN_Q_OVERFLOW) != 0)
        for (std::size_t i = 0; i < folders_.size(); ++i) changed.insert(i);
      take_event(event.wd, (event.mask & IN_ISDIR) != 0, name, changed);
      if ((event.mask & IN_IGNORED) != 0) places_.erase(event.wd);
    }
  }
}

Result<std::set<std::size_t>> FolderWatch::wait() {
  std::set<std::size_t> changed;
  TimePoint deadline = TimePoint::max();
  for (;;) {
    int patience_ms = -1;
    if (!changed.empty()) {
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - clock_->now());
      if (left.count() <= 0) break;
      patience_ms = static_cast<int>(std::min(left, quiet_time).count());
    }
    pollfd fd{fd_.get(), POLLIN, 0};
    const int ready = poll(&fd, 1, patience_ms);
    if (ready < 0 && errno != EINTR) return errno_error(errno, "poll");
    if (ready == 0) break;
    LAB_CHECK(read_events(changed));
    if (!changed.empty()) deadline = std::min(deadline, clock_->now() + wait_max);
  }
  // New folders, before anybody looks.
  LAB_CHECK(watch_all());
  return changed;
}

}  // namespace lab::provision
