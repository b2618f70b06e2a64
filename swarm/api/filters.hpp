// The `filters` parameter of Docker's list requests: {"role":["manager"]}, or in the older form
// {"role":{"manager":true}}.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "swarm/proto/objects.pb.h"

namespace lab::swarm::api {

class Filters {
 public:
  // Empty text: no filters.
  [[nodiscard]] static Result<Filters> parse(const std::string& text);

  // `Invalid filter 'x'` for a name that is not among these.
  [[nodiscard]] Result<void> allow(const std::vector<std::string_view>& names) const;
  [[nodiscard]] const std::vector<std::string>& get(std::string_view name) const;

 private:
  std::map<std::string, std::vector<std::string>, std::less<>> values_;
};

// Those of `GET /nodes`, checked; then what they let through.
class NodeFilters {
 public:
  [[nodiscard]] static Result<NodeFilters> parse(const std::string& text);
  [[nodiscard]] bool match(const proto::Node& node) const;

 private:
  Filters filters_;
};

}  // namespace lab::swarm::api
