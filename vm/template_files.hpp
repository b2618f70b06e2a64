// The folder of one template: its files, their checksums, and when they were last compared.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/error.hpp"

namespace lab::vm {

class TemplateFolder {
 public:
  explicit TemplateFolder(std::filesystem::path path) : path_(std::move(path)) {}

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  [[nodiscard]] std::filesystem::path disk() const { return path_ / "disk.qcow2"; }
  [[nodiscard]] std::filesystem::path memory() const { return path_ / "memory"; }
  [[nodiscard]] std::filesystem::path devices() const { return path_ / "devices"; }

  // Gives the memory's zeros back to the file system, protects the files and writes their
  // checksums. Blocks.
  [[nodiscard]] Result<void> seal() const;

  // Whether all is there as it was sealed. Reads the files only when they were not compared since
  // the host's boot, or have changed their size or time since. Code::not_found when there is no
  // template here, Code::internal when it is damaged.
  [[nodiscard]] Result<void> check() const;

  // Remembers that it was used, for remove_unused_templates().
  void mark_used() const;

 private:
  std::filesystem::path path_;
};

// Removes templates but for the `kept` last used ones. Machines that run from one are not
// disturbed: their disk has its second name, their memory is mapped.
void remove_unused_templates(const std::filesystem::path& templates, std::size_t kept);

}  // namespace lab::vm
