// The `filters` parameter of list and prune requests.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hpp"
#include "base/error.hpp"

namespace lab::engine::api {

class FilterSet {
 public:
  // {"name":["value",...]} or the older {"name":{"value":true}}; empty text is no filter. Errors
  // are Go's, as Code::internal.
  [[nodiscard]] static Result<FilterSet> parse(std::string_view text);

  void add(std::string_view name, std::string value) {
    filters_[std::string(name)].push_back(std::move(value));
  }
  // Code::invalid_argument "Invalid filter 'NAME'" when one is not of these.
  [[nodiscard]] Result<void> check_names(std::initializer_list<std::string_view> known) const;
  [[nodiscard]] bool has(std::string_view name) const { return filters_.contains(name); }
  [[nodiscard]] const std::vector<std::string>& values(std::string_view name) const;
  [[nodiscard]] const std::map<std::string, std::vector<std::string>, std::less<>>& all() const {
    return filters_;
  }
  // Docker's booleans of a filter; Code::invalid_argument "Invalid filter 'NAME=[x]'".
  [[nodiscard]] Result<bool> flag(std::string_view name, bool fallback) const;
  // Every "KEY" or "KEY=VALUE" of the filter is in `labels`.
  [[nodiscard]] bool match_labels(std::string_view name,
                                  const std::map<std::string, std::string>& labels) const;

 private:
  std::map<std::string, std::vector<std::string>, std::less<>> filters_;
};

// The filter "until" in seconds since 1970: a Unix time, an RFC 3339 time or date, or a duration
// before now ("24h", "1h30m"). Without the filter the end of time; Code::invalid_argument when it
// does not parse or comes twice.
[[nodiscard]] Result<std::int64_t> until_of(const FilterSet& filters, const Clock& clock);

}  // namespace lab::engine::api
