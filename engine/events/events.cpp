#include "engine/events/events.hpp"

#include <algorithm>

namespace lab::engine {

namespace json = boost::json;

namespace {

// Docker keeps 256; a burst of a compose project is larger.
constexpr std::size_t kept_max = 1024;

std::string attribute(const Event& event, std::string_view name) {
  for (const auto& [key, value] : event.attributes) {
    if (key == name) return value;
  }
  return {};
}

bool matches_actor(const Event& event, std::string_view type, const std::string& wanted) {
  // Events of networks and volumes name a container too, and are not meant.
  if (event.type == type || type == "container")
    return event.actor == wanted || attribute(event, "name") == wanted ||
           (!wanted.empty() && event.actor.starts_with(wanted));
  return attribute(event, type) == wanted;
}

bool matches_label(const Event& event, const std::string& wanted) {
  std::size_t equals = wanted.find('=');
  for (const auto& [key, value] : event.attributes) {
    if (key != wanted.substr(0, equals)) continue;
    if (equals == std::string::npos || value == wanted.substr(equals + 1)) return true;
  }
  return false;
}

bool matches_value(const Event& event, const std::string& name, const std::string& wanted) {
  if (name == "type") return event.type == wanted;
  if (name == "event") return event.action == wanted || event.action.starts_with(wanted + ":");
  if (name == "label") return matches_label(event, wanted);
  if (name == "scope") return wanted == "local";
  if (name == "image" && event.type == "container") {
    std::string image = attribute(event, "image");
    return image == wanted || image.substr(0, image.rfind(':')) == wanted;
  }
  return matches_actor(event, name, wanted);
}

}  // namespace

json::object to_json(const Event& event) {
  json::object document;
  if (event.type == "container" || event.type == "image") {
    document["status"] = event.action;
    document["id"] = event.actor;
    if (event.type == "container") document["from"] = attribute(event, "image");
  }
  document["Type"] = event.type;
  document["Action"] = event.action;
  json::object attributes;
  for (const auto& [key, value] : event.attributes) attributes[key] = value;
  document["Actor"] = json::object{{"ID", event.actor}, {"Attributes", std::move(attributes)}};
  document["scope"] = "local";
  std::int64_t nanoseconds = event.time.time_since_epoch().count();
  document["time"] = nanoseconds / 1'000'000'000;
  document["timeNano"] = nanoseconds;
  return document;
}

bool matches(const Event& event, const Filters& filters) {
  return std::all_of(filters.begin(), filters.end(), [&event](const auto& filter) {
    const auto& [name, values] = filter;
    const auto matching = [&](const auto& value) { return matches_value(event, name, value); };
    if (name == "label") return std::all_of(values.begin(), values.end(), matching);
    return values.empty() || std::any_of(values.begin(), values.end(), matching);
  });
}

void EventBus::emit(std::string type, std::string action, std::string actor,
                    Attributes attributes) {
  std::sort(attributes.begin(), attributes.end());
  kept_.push_back(Event{std::move(type), std::move(action), std::move(actor), std::move(attributes),
                        clock_.wall_now(), ++sequence_});
  if (kept_.size() > kept_max) kept_.pop_front();
  added_.notify_all();
}

std::vector<Event> EventBus::since(std::uint64_t after) const {
  auto first = std::find_if(kept_.begin(), kept_.end(),
                            [after](const Event& event) { return event.sequence > after; });
  return {first, kept_.end()};
}

}  // namespace lab::engine
