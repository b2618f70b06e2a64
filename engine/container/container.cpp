#include "engine/container/container.hpp"

#include "engine/container/health_check.hpp"
#include "engine/util/json.hpp"

namespace lab::engine::container {

namespace json = boost::json;

namespace {

json::object to_json(const ProcessId& process) {
  return json::object{{"pid", process.pid}, {"start_ticks", process.start_ticks}};
}

ProcessId process_from_json(const json::object& document) {
  return ProcessId{static_cast<pid_t>(integer_of(document, "pid")),
                   static_cast<std::uint64_t>(integer_of(document, "start_ticks"))};
}

json::object to_json(const State& state) {
  return json::object{{"running", state.running},
                      {"paused", state.paused},
                      {"restarting", state.restarting},
                      {"dead", state.dead},
                      {"oom_killed", state.oom_killed},
                      {"process", to_json(state.process)},
                      {"monitor", to_json(state.monitor)},
                      {"exit_code", state.exit_code},
                      {"error", state.error},
                      {"started_at", state.started_at},
                      {"finished_at", state.finished_at}};
}

State state_from_json(const json::object& document) {
  State state;
  state.running = flag_of(document, "running");
  state.paused = flag_of(document, "paused");
  state.restarting = flag_of(document, "restarting");
  state.dead = flag_of(document, "dead");
  state.oom_killed = flag_of(document, "oom_killed");
  state.process = process_from_json(object_of(document, "process"));
  state.monitor = process_from_json(object_of(document, "monitor"));
  state.exit_code = static_cast<int>(integer_of(document, "exit_code"));
  state.error = text_of(document, "error");
  state.started_at = text_of(document, "started_at");
  state.finished_at = text_of(document, "finished_at");
  return state;
}

}  // namespace

std::string_view State::status() const {
  if (running) {
    if (paused) return "paused";
    return restarting ? "restarting" : "running";
  }
  if (restarting) return "restarting";
  if (removing) return "removing";
  if (dead) return "dead";
  return started_at == zero_rfc3339 ? "created" : "exited";
}

bool Container::has_terminal() const { return flag_of(config, "Tty"); }

std::string Container::network_mode() const {
  std::string mode = text_of(host_config, "NetworkMode");
  return mode.empty() || mode == "default" ? "bridge" : mode;
}

json::object Container::to_document() const {
  json::array mount_documents;
  for (const MountPoint& mount : mounts) mount_documents.push_back(container::to_json(mount));
  json::object network_documents;
  for (const auto& [network, settings] : networks) network_documents[network] = settings;
  json::object document{{"id", id},
                        {"name", name},
                        {"created", created},
                        {"created_seconds", created_seconds},
                        {"path", path},
                        {"arguments", to_array(arguments)},
                        {"image_id", image_id},
                        {"config", config},
                        {"host_config", host_config},
                        {"mounts", std::move(mount_documents)},
                        {"state", to_json(state)},
                        {"restart_count", restart_count},
                        {"stopped_by_user", stopped_by_user},
                        {"networks", std::move(network_documents)},
                        {"name_generated", name_generated},
                        {"last_sandbox_id", last_sandbox_id},
                        {"last_sandbox_key", last_sandbox_key}};
  if (sandbox) document["sandbox"] = network::to_document(*sandbox);
  return document;
}

Result<ContainerPtr> container_from_document(const json::object& document,
                                             const boost::asio::any_io_executor& executor) {
  auto container = std::make_shared<Container>(executor);
  container->id = text_of(document, "id");
  if (container->id.size() != 64)
    return make_error(Code::internal, "a container document without an id");
  container->name = text_of(document, "name");
  container->created = text_of(document, "created");
  container->created_seconds = integer_of(document, "created_seconds");
  container->path = text_of(document, "path");
  container->arguments = texts_of(document, "arguments");
  container->image_id = text_of(document, "image_id");
  container->config = object_of(document, "config");
  container->host_config = object_of(document, "host_config");
  for (const json::value& item : array_of(document, "mounts")) {
    if (item.is_object()) container->mounts.push_back(mount_from_json(item.get_object()));
  }
  container->state = state_from_json(object_of(document, "state"));
  // What was found before our start is not kept; probes begin anew.
  if (container->state.started_at != zero_rfc3339)
    container->state.health = initial_health(container->config);
  if (container->state.health && !container->state.running)
    container->state.health->status = "unhealthy";
  container->restart_count = static_cast<int>(integer_of(document, "restart_count"));
  container->stopped_by_user = flag_of(document, "stopped_by_user");
  const json::object& networks = object_of(document, "networks");
  for (const auto& network : networks)
    container->networks[network.key()] = object_of(networks, network.key());
  container->name_generated = flag_of(document, "name_generated");
  container->last_sandbox_id = text_of(document, "last_sandbox_id");
  container->last_sandbox_key = text_of(document, "last_sandbox_key");
  if (document.contains("sandbox"))
    container->sandbox = network::sandbox_from_document(object_of(document, "sandbox"));
  return container;
}

}  // namespace lab::engine::container
