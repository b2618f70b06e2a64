#include "engine/build/arguments.hpp"

#include <algorithm>
#include <iterator>

namespace lab::engine::build {

namespace {

constexpr std::string_view predefined[] = {"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy",
                                           "FTP_PROXY",  "ftp_proxy",  "NO_PROXY",    "no_proxy"};

bool is_predefined(std::string_view name) {
  return std::find(std::begin(predefined), std::end(predefined), name) != std::end(predefined);
}

}  // namespace

std::pair<std::string, std::optional<std::string>> split_assignment(const std::string& text) {
  const std::size_t equals = text.find('=');
  if (equals == std::string::npos) return {text, std::nullopt};
  return {text.substr(0, equals), text.substr(equals + 1)};
}

void BuildArguments::declare_global(const std::string& name, std::optional<std::string> value) {
  referenced_.insert(name);
  // Seen by the next global ARG as well.
  declared_[name] = value;
  global_[name] = std::move(value);
}

void BuildArguments::declare(const std::string& name, std::optional<std::string> value) {
  referenced_.insert(name);
  declared_[name] = std::move(value);
}

std::optional<std::string> BuildArguments::value_of(const std::string& name,
                                                    const Values& declared) const {
  if (const auto given = given_.find(name); given != given_.end() && given->second)
    return given->second;
  const auto own = declared.find(name);
  if (own != declared.end() && own->second) return own->second;
  const auto global = global_.find(name);
  return global == global_.end() ? std::nullopt : global->second;
}

Variables BuildArguments::values(const Values& declared) const {
  Variables values;
  const auto add = [&](const std::string& name) {
    if (auto value = value_of(name, declared)) values[name] = std::move(*value);
  };
  for (const auto& [name, value] : declared) add(name);
  for (std::string_view name : predefined) add(std::string(name));
  return values;
}

Variables BuildArguments::global() const { return values(global_); }

Variables BuildArguments::visible(const std::vector<std::string>& environment) const {
  Variables visible = values(declared_);
  for (const std::string& variable : environment) visible.erase(split_assignment(variable).first);
  return visible;
}

bool BuildArguments::is_part_of_cache_key(const std::string& name) const {
  return referenced_.contains(name) || !is_predefined(name);
}

std::vector<std::string> BuildArguments::unused() const {
  std::vector<std::string> names;
  for (const auto& [name, value] : given_) {
    if (!referenced_.contains(name) && !is_predefined(name)) names.push_back(name);
  }
  return names;
}

}  // namespace lab::engine::build
