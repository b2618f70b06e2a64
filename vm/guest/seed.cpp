#include "vm/guest/seed.hpp"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <ctime>

#include "vm/guest/say.hpp"

namespace lab::guest {
namespace {

constexpr std::size_t header_size = 110;
constexpr const char* files_prefix = "lab/files/";
// vm::seed_file_mtime
constexpr std::time_t seed_file_mtime = 946684800;

off_t aligned(off_t offset) { return (offset + 3) & ~off_t{3}; }

// The header's field of eight hexadecimal digits.
unsigned long field(const char* header, std::size_t index) {
  char digits[9] = {};
  std::memcpy(digits, header + 6 + 8 * index, 8);
  return std::strtoul(digits, nullptr, 16);
}

}  // namespace

Seed::Seed() : fd_(open(seed_device, O_RDONLY | O_CLOEXEC)) { ioctl(fd_, BLKFLSBUF, 0); }

Seed::~Seed() {
  ioctl(fd_, BLKFLSBUF, 0);  // it is not needed again
  if (fd_ >= 0) close(fd_);
}

bool Seed::next(Entry& entry) {
  char header[header_size];
  if (pread(fd_, header, sizeof header, at_) != static_cast<ssize_t>(sizeof header) ||
      std::memcmp(header, "070701", 6) != 0)
    return false;
  const unsigned long name_size = field(header, 11);
  if (name_size == 0 || name_size > sizeof entry.path ||
      pread(fd_, entry.path, name_size, at_ + static_cast<off_t>(sizeof header)) !=
          static_cast<ssize_t>(name_size))
    return false;
  entry.path[name_size - 1] = 0;
  entry.mode = static_cast<mode_t>(field(header, 1));
  entry.size = field(header, 6);
  entry.offset = aligned(at_ + static_cast<off_t>(sizeof header + name_size));
  at_ = aligned(entry.offset + static_cast<off_t>(entry.size));
  return std::strcmp(entry.path, "TRAILER!!!") != 0;
}

char* Seed::read(const Entry& entry) const {
  char* text = static_cast<char*>(std::calloc(entry.size + 1, 1));
  if (text != nullptr &&
      pread(fd_, text, entry.size, entry.offset) == static_cast<ssize_t>(entry.size))
    return text;
  return nullptr;
}

void Seed::copy(const Entry& entry, int root, const char* path) const {
  unlinkat(root, path, 0);
  const int to = openat(root, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (to < 0 || fchmod(to, entry.mode & 07777) != 0) {
    say("seed file %s: %s", path, std::strerror(errno));
  } else {
    off_t at = entry.offset;
    const off_t end = at + static_cast<off_t>(entry.size);
    while (at < end && sendfile(to, fd_, &at, static_cast<std::size_t>(end - at)) > 0) continue;
    if (at < end) say("seed file %s: %s", path, std::strerror(errno));
    const timespec times[2] = {{seed_file_mtime, 0}, {seed_file_mtime, 0}};
    futimens(to, times);
  }
  if (to >= 0) close(to);
}

bool seed_is_identity() {
  Seed seed;
  Seed::Entry entry;
  while (seed.next(entry))
    if (S_ISREG(entry.mode)) return std::strcmp(entry.path, "lab/identity") == 0;
  return false;
}

SeedFacts apply_seed(int root) {
  SeedFacts facts;
  Seed seed;
  Seed::Entry entry;
  const std::size_t prefix = std::strlen(files_prefix);
  while (seed.next(entry)) {
    if (std::strncmp(entry.path, files_prefix, prefix) == 0) {
      const char* path = entry.path + prefix;
      // Folders that exist keep their mode.
      if (S_ISDIR(entry.mode)) mkdirat(root, path, entry.mode & 07777);
      if (S_ISREG(entry.mode)) seed.copy(entry, root, path);
    } else if (std::strcmp(entry.path, "lab/config") == 0) {
      facts.config = seed.read(entry);
    } else if (std::strcmp(entry.path, "lab/random") == 0) {
      facts.random = seed.read(entry);
      facts.random_size = facts.random != nullptr ? entry.size : 0;
    }
  }
  return facts;
}

}  // namespace lab::guest
