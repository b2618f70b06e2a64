// The seed as the guest sees it: a disk with an archive (cpio, "newc") that vm/seed.cpp has
// written.
//   lab/identity or lab/template   which of the two it is; the first file
//   lab/random                     bytes that no other machine has
//   lab/config                     what network.hpp reads
//   lab/files/...                  go onto the root file system, mode and path as they are
#pragma once

#include <sys/types.h>

#include <cstddef>

namespace lab::guest {

inline constexpr const char* seed_device = "/dev/vdb";

class Seed {
 public:
  // Reads the disk itself, not what the kernel has kept of it since the machine was somebody else.
  Seed();
  Seed(const Seed&) = delete;
  Seed& operator=(const Seed&) = delete;
  ~Seed();

  struct Entry {
    char path[512];
    mode_t mode;
    off_t offset;
    std::size_t size;
  };
  // The entries in their order; false after the last and when what comes is no entry.
  bool next(Entry& entry);

  // The entry's content with a final 0; null when it cannot be read. Never freed.
  char* read(const Entry& entry) const;
  // Makes or replaces the file below `root`, a folder.
  void copy(const Entry& entry, int root, const char* path) const;

 private:
  int fd_;
  off_t at_ = 0;
};

// Whether the seed is of a machine, not of a template.
bool seed_is_identity();

// What a seed holds beside its files; null or empty when it lacks it.
struct SeedFacts {
  char* config = nullptr;
  char* random = nullptr;
  std::size_t random_size = 0;
};
// Puts the seed's files below `root`.
SeedFacts apply_seed(int root);

}  // namespace lab::guest
