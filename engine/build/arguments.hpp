// Build arguments: what ARG declares and --build-arg sets, and where each may be seen.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "engine/build/expand.hpp"

namespace lab::engine::build {

class BuildArguments {
 public:
  // Values by name. One that was given without a value (`--build-arg NAME`, and the client's
  // environment lacks it) is as if it were not given.
  using Values = std::map<std::string, std::optional<std::string>>;

  explicit BuildArguments(Values given) : given_(std::move(given)) {}

  // ARG before the first FROM: seen by FROM, and a default for stages that declare the name.
  void declare_global(const std::string& name, std::optional<std::string> value);
  // ARG in a stage.
  void declare(const std::string& name, std::optional<std::string> value);
  // The declarations of a stage end with it.
  void begin_stage() { declared_.clear(); }

  // For the words of FROM.
  [[nodiscard]] Variables global() const;
  // What the stage sees and `environment` ("NAME=value") does not set.
  [[nodiscard]] Variables visible(const std::vector<std::string>& environment) const;
  // The names of proxies need no ARG. Their values are no part of the cache's key then.
  [[nodiscard]] bool is_part_of_cache_key(const std::string& name) const;
  // Given, but neither declared nor known.
  [[nodiscard]] std::vector<std::string> unused() const;

 private:
  [[nodiscard]] std::optional<std::string> value_of(const std::string& name,
                                                    const Values& declared) const;
  [[nodiscard]] Variables values(const Values& declared) const;

  Values given_;
  Values global_;
  Values declared_;
  std::set<std::string> referenced_;
};

// "NAME=value" to NAME and value; without an equals sign no value.
[[nodiscard]] std::pair<std::string, std::optional<std::string>> split_assignment(
    const std::string& text);

}  // namespace lab::engine::build
