#include "swarm/api/filters.hpp"

#include <algorithm>
#include <boost/json/parse.hpp>

namespace lab::swarm::api {

namespace json = boost::json;

namespace {

// Any of `values` that satisfies, or there are none.
template <typename Predicate>
bool any_or_none(const std::vector<std::string>& values, Predicate predicate) {
  return values.empty() || std::any_of(values.begin(), values.end(), predicate);
}

// All of "key" or "key=value".
template <typename Map>
bool labels_match(const std::vector<std::string>& wanted, const Map& labels) {
  return std::all_of(wanted.begin(), wanted.end(), [&](const std::string& text) {
    std::size_t equals = text.find('=');
    auto found = labels.find(text.substr(0, equals));
    if (found == labels.end()) return false;
    std::string value = equals == std::string::npos ? std::string() : text.substr(equals + 1);
    return value.empty() || found->second == value;
  });
}

}  // namespace

Result<Filters> Filters::parse(const std::string& text) {
  Filters filters;
  if (text.empty()) return filters;
  boost::system::error_code error;
  json::value parsed = json::parse(text, error);
  if (error) {
    return make_error(Code::internal, "invalid character '{}' looking for beginning of value",
                      text.front());
  }
  if (!parsed.is_object())
    return Error{Code::invalid_argument, "invalid filters: not a JSON object"};
  for (const auto& [name, values] : parsed.as_object()) {
    std::vector<std::string>& list = filters.values_[std::string(name)];
    if (values.is_object()) {
      for (const auto& [value, on] : values.as_object()) {
        if (!on.is_bool() || on.as_bool()) list.emplace_back(value);
      }
    } else if (values.is_array()) {
      for (const json::value& value : values.as_array()) {
        if (value.is_string()) list.emplace_back(value.as_string());
      }
    } else {
      return make_error(Code::invalid_argument, "invalid filter '{}'", std::string(name));
    }
  }
  return filters;
}

Result<void> Filters::allow(const std::vector<std::string_view>& names) const {
  for (const auto& [name, values] : values_) {
    if (std::find(names.begin(), names.end(), name) == names.end())
      return make_error(Code::invalid_argument, "Invalid filter '{}'", name);
  }
  return {};
}

const std::vector<std::string>& Filters::get(std::string_view name) const {
  static const std::vector<std::string> none;
  auto found = values_.find(name);
  return found == values_.end() ? none : found->second;
}

Result<NodeFilters> NodeFilters::parse(const std::string& text) {
  NodeFilters result;
  LAB_TRY(result.filters_, Filters::parse(text));
  LAB_CHECK(result.filters_.allow({"name", "id", "label", "node.label", "role", "membership"}));
  for (const std::string& role : result.filters_.get("role")) {
    if (role != "manager" && role != "worker")
      return make_error(Code::internal, "Invalid role filter: '{}'", role);
  }
  for (const std::string& membership : result.filters_.get("membership")) {
    if (membership != "accepted" && membership != "pending")
      return make_error(Code::internal, "Invalid membership filter: '{}'", membership);
  }
  return result;
}

bool NodeFilters::match(const proto::Node& node) const {
  std::string role = node.spec().role() == proto::ROLE_MANAGER ? "manager" : "worker";
  return any_or_none(filters_.get("id"),
                     [&](const std::string& id) { return node.id().starts_with(id); }) &&
         any_or_none(filters_.get("name"),
                     [&](const std::string& name) {
                       return node.description().hostname().starts_with(name);
                     }) &&
         any_or_none(filters_.get("role"), [&](const std::string& r) { return r == role; }) &&
         any_or_none(filters_.get("membership"),
                     [](const std::string& m) { return m == "accepted"; }) &&
         labels_match(filters_.get("label"), node.description().engine_labels()) &&
         labels_match(filters_.get("node.label"), node.spec().labels());
}

}  // namespace lab::swarm::api
