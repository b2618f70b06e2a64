#include "engine/api/filters.hpp"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <ctime>
#include <limits>
#include <optional>

#include "engine/util/go_json.hpp"

namespace lab::engine::api {

namespace json = boost::json;

Result<FilterSet> FilterSet::parse(std::string_view text) {
  FilterSet set;
  if (text.empty()) return set;
  LAB_TRY(json::value parsed, decode_go_json(text));
  constexpr std::string_view map_form = "map[string]map[string]bool";
  if (!check_go_type("", "map[string][]string", parsed))
    LAB_CHECK(check_go_type("", map_form, parsed));
  if (!parsed.is_object()) return set;
  for (const auto& [name, value] : parsed.get_object()) {
    std::vector<std::string>& values = set.filters_[std::string(name)];
    if (value.is_array()) {
      for (const json::value& item : value.get_array()) {
        if (item.is_string()) values.emplace_back(item.get_string());
      }
    } else if (value.is_object()) {
      for (const auto& [key, on] : value.get_object()) {
        if (on.is_bool() && on.get_bool()) values.emplace_back(key);
      }
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

namespace {

// Go's durations: numbers with h, m or s, in a row.
std::optional<std::int64_t> duration_seconds(std::string_view text) {
  std::int64_t total = 0;
  if (text.empty()) return std::nullopt;
  while (!text.empty()) {
    std::int64_t number = 0;
    const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (failure != std::errc() || number < 0) return std::nullopt;
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    if (text.empty()) return std::nullopt;
    const char unit = text.front();
    text.remove_prefix(1);
    if (unit != 'h' && unit != 'm' && unit != 's') return std::nullopt;
    total += number * (unit == 'h' ? 3600 : unit == 'm' ? 60 : 1);
  }
  return total;
}

std::optional<std::int64_t> calendar_seconds(const std::string& text) {
  std::tm parts{};
  for (const char* format : {"%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%d"}) {
    const char* rest = ::strptime(text.c_str(), format, &parts);
    if (rest != nullptr && (*rest == '\0' || *rest == 'Z' || *rest == '.')) {
      return ::timegm(&parts);
    }
  }
  return std::nullopt;
}

}  // namespace

Result<std::int64_t> until_of(const FilterSet& filters, const Clock& clock) {
  const std::vector<std::string>& values = filters.values("until");
  if (values.empty()) return std::numeric_limits<std::int64_t>::max();
  if (values.size() > 1) {
    return Error{Code::invalid_argument, "more than one until filter specified"};
  }
  const std::string& text = values.front();
  const auto now = std::chrono::floor<std::chrono::seconds>(clock.wall_now());
  if (const auto ago = duration_seconds(text)) return now.time_since_epoch().count() - *ago;
  if (const auto time = calendar_seconds(text)) return *time;
  std::int64_t seconds = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (failure == std::errc() && (*end == '\0' || *end == '.')) return seconds;
  return make_error(Code::invalid_argument, "failed to parse value as time or duration: \"{}\"",
                    text);
}

}  // namespace lab::engine::api
