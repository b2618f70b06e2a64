// An archive in the format of the kernel's initrd (cpio, "newc"). Several of them, one after the
// other, unpack as one.
#pragma once

#include <sys/types.h>

#include <set>
#include <string>
#include <string_view>

namespace lab::vm {

class CpioWriter {
 public:
  // Parents that were not added yet are, with mode 0755. Paths are relative to the root: "a/b".
  void add_file(std::string_view path, std::string_view content, mode_t mode);
  void add_directory(std::string_view path, mode_t mode);
  // The archive, padded to 512 bytes; the writer is spent.
  [[nodiscard]] std::string finish();

 private:
  void add_parents(std::string_view path);
  void add_entry(std::string_view path, std::string_view content, mode_t mode);

  std::string bytes_;
  std::set<std::string, std::less<>> directories_;
  unsigned inode_ = 0;
};

}  // namespace lab::vm
