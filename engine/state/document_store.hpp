// The engine's durable state: JSON documents by kind ("container", "volume", "network") and key, in
// one SQLite file in WAL mode. A call that returns success has reached the disk.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.hpp"

namespace lab::engine {

class DocumentStore {
 public:
  [[nodiscard]] static Result<std::unique_ptr<DocumentStore>> open(
      const std::filesystem::path& path);
  ~DocumentStore();

  // Creates or replaces. `durable` false: survives a crash of the process, and may be lost with the
  // machine's power.
  [[nodiscard]] Result<void> put(std::string_view kind, std::string_view key, std::string_view text,
                                 bool durable = true);
  // What is not there is no error.
  [[nodiscard]] Result<void> remove(std::string_view kind, std::string_view key,
                                    bool durable = true);
  // Key and text, by key.
  [[nodiscard]] Result<std::vector<std::pair<std::string, std::string>>> all(
      std::string_view kind) const;

 private:
  struct Impl;
  explicit DocumentStore(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace lab::engine
