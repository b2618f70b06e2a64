#include "engine/api/filters.hpp"

#include <algorithm>
#include <boost/json/parse.hpp>

namespace lab::engine::api {

namespace json = boost::json;

Result<FilterSet> FilterSet::parse(std::string_view text) {
  FilterSet set;
  if (text.empty()) return set;
  boost::system::error_code failure;
  const json::value parsed = json::parse(text, failure);
  const Error invalid{Code::invalid_argument, "invalid filter"};
  if (failure || !parsed.is_object()) return invalid;
  for (const auto& [name, value] : parsed.get_object()) {
    std::vector<std::string>& values = set.filters_[std::string(name)];
    if (value.is_array()) {
      for (const json::value& item : value.get_array()) {
        if (!item.is_string()) return invalid;
        values.emplace_back(item.get_string());
      }
    } else if (value.is_object()) {
      for (const auto& [key, on] : value.get_object()) {
        if (on.is_bool() && on.get_bool()) values.emplace_back(key);
      }
    } else {
      return invalid;
    }
  }
  return set;
}

Result<void> FilterSet::check_names(std::initializer_list<std::string_view> known) const {
  for (const auto& [name, values] : filters_) {
    if (std::find(known.begin(), known.end(), name) == known.end()) {
      return make_error(Code::invalid_argument, "Invalid filter '{}'", name);
    }
  }
  return {};
}

const std::vector<std::string>& FilterSet::values(std::string_view name) const {
  static const std::vector<std::string> none;
  const auto found = filters_.find(name);
  return found == filters_.end() ? none : found->second;
}

Result<bool> FilterSet::flag(std::string_view name, bool fallback) const {
  const std::vector<std::string>& given = values(name);
  if (given.empty()) return fallback;
  const auto all = [&](std::string_view word, std::string_view digit) {
    return std::all_of(given.begin(), given.end(),
                       [&](const std::string& value) { return value == word || value == digit; });
  };
  if (all("true", "1")) return true;
  if (all("false", "0")) return false;
  return make_error(Code::invalid_argument, "Invalid filter '{}={}'", name,
                    fmt::format("[{}]", fmt::join(given, " ")));
}

bool FilterSet::match_labels(std::string_view name,
                             const std::map<std::string, std::string>& labels) const {
  return std::all_of(values(name).begin(), values(name).end(), [&](const std::string& wanted) {
    const std::size_t equals = wanted.find('=');
    const auto found = labels.find(wanted.substr(0, equals));
    if (found == labels.end()) return false;
    return equals == std::string::npos || found->second == wanted.substr(equals + 1);
  });
}

}  // namespace lab::engine::api
