#include "engine/api/older_clients.hpp"

#include "engine/api/version.hpp"
#include "engine/util/json.hpp"

namespace lab::engine::api {

namespace json = boost::json;

namespace {

void forget_non_recursive(json::object& host_config) {
  json::value* mounts = host_config.if_contains("Mounts");
  if (mounts == nullptr || !mounts->is_array()) return;
  for (json::value& mount : mounts->get_array()) {
    if (!mount.is_object()) continue;
    json::value* options = mount.get_object().if_contains("BindOptions");
    if (options != nullptr && options->is_object()) options->get_object().erase("NonRecursive");
  }
}

}  // namespace

void adapt_creation(json::object& body, const http::Exchange& exchange) {
  json::value* given = body.if_contains("HostConfig");
  if (given == nullptr || !given->is_object() || !older_than(exchange, {1, 40})) return;
  json::object& host_config = given->get_object();
  // Then the client removed the container.
  if (older_than(exchange, {1, 25})) host_config["AutoRemove"] = false;
  host_config["KernelMemoryTCP"] = 0;
  if (text_of(host_config, "IpcMode").empty()) host_config["IpcMode"] = "shareable";
  forget_non_recursive(host_config);
}

}  // namespace lab::engine::api
