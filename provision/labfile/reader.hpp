// Reads tables of a TOML document key by key and collects every problem with its place, so that one
// pass reports all of them. The keys that were asked for are the known ones; finish() reports the
// rest.
#pragma once

#include <toml++/toml.h>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "provision/labfile/labfile.hpp"

namespace lab::provision {

// A value together with where it stands.
template <typename T>
struct Placed {
  T value;
  toml::source_position at;
};

class Problems {
 public:
  template <typename... Args>
  void add(toml::source_position at, fmt::format_string<Args...> format, Args&&... args) {
    insert(at, fmt::format(format, std::forward<Args>(args)...));
  }
  // Sorted by place.
  [[nodiscard]] std::vector<LabfileProblem> take();
  [[nodiscard]] bool empty() const { return list_.empty(); }

 private:
  // Control characters that came from the file are shown, not sent to the terminal.
  void insert(toml::source_position at, const std::string& message);

  std::vector<LabfileProblem> list_;
};

class TableReader {
 public:
  // `path` names the table in messages ("machines.vm1"); empty for the root.
  TableReader(const toml::table& table, std::string path, Problems& problems)
      : table_(table), path_(std::move(path)), problems_(problems) {}

  [[nodiscard]] std::optional<Placed<std::string>> text(std::string_view key);
  // Within [low, high], else a problem.
  [[nodiscard]] std::optional<Placed<std::int64_t>> integer(std::string_view key, std::int64_t low,
                                                            std::int64_t high);
  [[nodiscard]] std::optional<bool> boolean(std::string_view key);
  // "768MiB", "2GiB", "1.5GB": in MiB, rounded up, within the limits.
  [[nodiscard]] std::optional<std::uint64_t> size_mib(std::string_view key, std::uint64_t low,
                                                      std::uint64_t high);
  // One of the words.
  [[nodiscard]] std::optional<Placed<std::string>> word(std::string_view key,
                                                        const std::vector<std::string>& words);
  [[nodiscard]] std::vector<Placed<std::string>> texts(std::string_view key);
  // The sub-table, nullptr when absent or not a table (then a problem).
  [[nodiscard]] const toml::table* table(std::string_view key);
  // The tables of an array of tables.
  [[nodiscard]] std::vector<const toml::table*> tables(std::string_view key);

  [[nodiscard]] bool has(std::string_view key) const { return table_.contains(key); }
  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::string path_of(std::string_view key) const;
  [[nodiscard]] toml::source_position at() const { return table_.source().begin; }
  // Where the value of a key stands, else the table.
  [[nodiscard]] toml::source_position at(std::string_view key) const;
  // A required key that is absent.
  void require(std::string_view key, std::string_view example);
  // Also known, though read in another way.
  void know(std::string_view key) { known_.emplace_back(key); }
  // Unknown keys are problems.
  void finish();

 private:
  const toml::node* find(std::string_view key);
  void wrong_type(const toml::node& node, std::string_view key, std::string_view wanted);

  const toml::table& table_;
  std::string path_;
  Problems& problems_;
  std::vector<std::string> known_;
};

// What a person calls a node's type: "a string", "an integer", "a table".
[[nodiscard]] std::string_view type_name(const toml::node& node);

// In MiB, rounded up; nothing when the text is no size.
[[nodiscard]] std::optional<std::uint64_t> parse_size_mib(std::string_view text);
[[nodiscard]] std::string format_mib(std::uint64_t mib);

}  // namespace lab::provision
