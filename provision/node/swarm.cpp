#include "provision/node/swarm.hpp"

#include <poll.h>

#include <boost/json.hpp>

namespace lab::provision {

namespace json = boost::json;
using std::chrono::seconds;

namespace {

constexpr int look_again_ms = 20;

constexpr std::string_view swarm_port = ":2377";
constexpr seconds join_time(60);

std::string text_at(const json::value& value, std::initializer_list<std::string_view> path) {
  const json::value* at = &value;
  for (std::string_view key : path) {
    const json::object* object = at->if_object();
    at = object == nullptr ? nullptr : object->if_contains(key);
    if (at == nullptr) return {};
  }
  return at->is_string() ? std::string(at->as_string()) : std::string();
}

std::uint64_t version_of(const json::value& node) {
  boost::system::error_code error;
  const json::value* index = node.find_pointer("/Version/Index", error);
  return index == nullptr ? 0 : index->to_number<std::uint64_t>(error);
}

const json::value* find_node(const json::value& nodes, const std::string& id) {
  const json::array* array = nodes.if_array();
  if (array == nullptr || id.empty()) return nullptr;
  for (const json::value& node : *array)
    if (text_at(node, {"ID"}) == id) return &node;
  return nullptr;
}

ApiRequest init_request(const MachineConfig& machine) {
  json::object body{{"ListenAddr", "0.0.0.0" + std::string(swarm_port)},
                    {"AdvertiseAddr", machine.address},
                    {"ForceNewCluster", false},
                    {"Spec", json::object{}}};
  return ApiRequest{"POST", "/swarm/init", json::serialize(body), engine_socket, seconds(60)};
}

ApiRequest join_request(const MachineConfig& machine, const JoinInfo& join) {
  bool manager = machine.role == Role::manager;
  json::object body{{"ListenAddr", "0.0.0.0" + std::string(swarm_port)},
                    {"AdvertiseAddr", machine.address},
                    {"RemoteAddrs", json::array{json::string(join.address)}},
                    {"JoinToken", manager ? join.manager_token : join.worker_token},
                    {"Availability", "active"}};
  return ApiRequest{"POST", "/swarm/join", json::serialize(body), engine_socket, seconds(60)};
}

// The node's spec with the machine's labels and role, when that changes it.
std::optional<json::object> corrected_spec(const json::value& node, const MachineConfig& machine) {
  boost::system::error_code error;
  const json::value* found = node.find_pointer("/Spec", error);
  json::object spec = found != nullptr && found->is_object() ? found->as_object() : json::object();
  json::object labels;
  if (const json::value* old = spec.if_contains("Labels"); old != nullptr && old->is_object())
    labels = old->as_object();
  bool changed = false;
  for (const auto& [name, value] : machine.labels) {
    const json::value* now = labels.if_contains(name);
    if (now != nullptr && now->is_string() && now->as_string() == value) continue;
    labels[name] = value;
    changed = true;
  }
  std::string role = machine.role == Role::manager ? "manager" : "worker";
  if (text_at(node, {"Spec", "Role"}) != role) {
    spec["Role"] = role;
    changed = true;
  }
  if (!changed) return std::nullopt;
  spec["Labels"] = std::move(labels);
  return spec;
}

json::object registry_body(const Labfile& labfile, const RegistryConfig& registry) {
  json::array environment{fmt::format("REGISTRY_HTTP_ADDR=0.0.0.0:{}", registry.port)};
  json::object host{{"RestartPolicy", json::object{{"Name", "always"}}}};
  if (registry.tls) {
    environment.emplace_back("REGISTRY_HTTP_TLS_CERTIFICATE=/certs/domain.crt");
    environment.emplace_back("REGISTRY_HTTP_TLS_KEY=/certs/domain.key");
    host["Binds"] = json::array{registry_folder(labfile, registry) + ":/certs"};
  }
  std::string port = fmt::format("{}/tcp", registry.port);
  json::object binding{{"HostIp", ""}, {"HostPort", std::to_string(registry.port)}};
  host["PortBindings"] = json::object{{port, json::array{std::move(binding)}}};
  return json::object{{"Image", fmt::format("{}:{}", registry_repository, registry_tag)},
                      {"Env", std::move(environment)},
                      {"ExposedPorts", json::object{{port, json::object{}}}},
                      {"HostConfig", std::move(host)}};
}

}  // namespace

std::optional<JoinInfo> parse_join_info(const ApiReply& swarm, const std::string& address) {
  if (!swarm.ok()) return std::nullopt;
  json::value body = swarm.json();
  JoinInfo info{address + std::string(swarm_port), text_at(body, {"JoinTokens", "Worker"}),
                text_at(body, {"JoinTokens", "Manager"})};
  if (info.worker_token.empty() || info.manager_token.empty()) return std::nullopt;
  return info;
}

Result<JoinInfo> fetch_join_info(Node& manager, const MachineConfig& machine, const Clock& clock,
                                 seconds timeout) {
  TimePoint deadline = clock.now() + timeout;
  ApiRequest request{.target = "/swarm"};
  for (;;) {
    LAB_TRY(std::vector<ApiReply> replies, call_api(manager.session(), {request}));
    if (auto join = parse_join_info(replies.front(), machine.address)) return *join;
    if (clock.now() >= deadline) return api_error(machine.name, request, replies.front());
    poll(nullptr, 0, look_again_ms);
  }
}

Result<JoinInfo> initialise_swarm(Node& node, const MachineConfig& machine, NodeFacts& facts) {
  std::vector<ApiRequest> requests{init_request(machine), ApiRequest{.target = "/swarm"},
                                   ApiRequest{.target = "/info"}};
  LAB_TRY(std::vector<ApiReply> replies, call_api(node.session(), requests));
  if (!replies[0].ok()) return api_error(machine.name, requests[0], replies[0]);
  std::optional<JoinInfo> join = parse_join_info(replies[1], machine.address);
  if (!join) return api_error(machine.name, requests[1], replies[1]);
  facts.swarm = parse_swarm_facts(replies[2]);
  return *join;
}

Result<void> join_swarm(Node& node, const MachineConfig& machine, const JoinInfo& join,
                        bool leave_first, NodeFacts& facts) {
  std::vector<ApiRequest> requests;
  if (leave_first)
    requests.push_back(
        ApiRequest{"POST", "/swarm/leave?force=true", "", engine_socket, seconds(30)});
  requests.push_back(join_request(machine, join));
  requests.push_back(ApiRequest{.target = "/info"});
  SystemClock clock;
  TimePoint deadline = clock.now() + join_time;
  LAB_TRY(std::vector<ApiReply> replies, call_api(node.session(), requests));
  facts.swarm = parse_swarm_facts(replies.back());
  const ApiReply& joined = replies[replies.size() - 2];
  // 503: the agent goes on trying by itself.
  if (!joined.ok() && joined.status != 503)
    return api_error(machine.name, requests[requests.size() - 2], joined);
  while (facts.swarm.state != "active") {
    if (clock.now() >= deadline || facts.swarm.state == "error") {
      return make_error(Code::deadline_exceeded,
                        "{}: did not become a member of the swarm at {}; state \"{}\" {} {}",
                        machine.name, join.address, facts.swarm.state, facts.swarm.error,
                        joined.ok() ? "" : joined.message());
    }
    poll(nullptr, 0, look_again_ms);
    LAB_TRY(ApiReply info, call_api_checked(node.session(), ApiRequest{.target = "/info"}));
    facts.swarm = parse_swarm_facts(info);
  }
  return {};
}

std::vector<ApiRequest> node_corrections(const json::value& nodes,
                                         const std::vector<Member>& members) {
  std::vector<ApiRequest> requests;
  std::set<std::string> ours;
  std::set<std::string> names;
  for (const Member& member : members) {
    ours.insert(member.node_id);
    if (!member.node_id.empty()) names.insert(member.machine->name);
    const json::value* node = find_node(nodes, member.node_id);
    if (node == nullptr) continue;
    if (auto spec = corrected_spec(*node, *member.machine)) {
      requests.push_back(ApiRequest{
          "POST", fmt::format("/nodes/{}/update?version={}", member.node_id, version_of(*node)),
          json::serialize(*spec), engine_socket, seconds(30)});
    }
  }
  if (const json::array* array = nodes.if_array()) {
    for (const json::value& node : *array) {
      std::string id = text_at(node, {"ID"});
      if (!ours.contains(id) && names.contains(text_at(node, {"Description", "Hostname"})) &&
          text_at(node, {"Status", "State"}) == "down") {
        requests.push_back(ApiRequest{"DELETE", fmt::format("/nodes/{}?force=true", id), "",
                                      engine_socket, seconds(30)});
      }
    }
  }
  return requests;
}

std::string not_ready(const json::value& nodes, const std::vector<Member>& members) {
  std::string list;
  for (const Member& member : members) {
    const json::value* node = find_node(nodes, member.node_id);
    std::string state = node == nullptr ? "absent" : text_at(*node, {"Status", "State"});
    if (state != "ready")
      list += fmt::format("{}{} ({})", list.empty() ? "" : ", ", member.machine->name, state);
  }
  return list;
}

Result<bool> settle_swarm(Node& manager, json::value nodes, const std::vector<Member>& members,
                          const Clock& clock, seconds timeout) {
  TimePoint deadline = clock.now() + timeout;
  ApiRequest list{.target = "/nodes"};
  bool changed = false;
  for (;;) {
    std::string last_error;
    if (!nodes.is_array()) {
      LAB_TRY(std::vector<ApiReply> replies, call_api(manager.session(), {list}));
      // 503 while there is no leader.
      if (!replies[0].ok())
        last_error = api_error(manager.session().target().name, list, replies[0]).message;
      nodes = replies[0].json();
    }
    std::vector<ApiRequest> corrections = node_corrections(nodes, members);
    std::string missing = not_ready(nodes, members);
    if (corrections.empty() && missing.empty()) return changed;
    if (!corrections.empty()) {
      LAB_TRY(std::vector<ApiReply> replies, call_api(manager.session(), corrections));
      for (std::size_t i = 0; i < replies.size(); ++i) {
        changed = changed || replies[i].ok();
        // A version that has moved on is met by the next round.
        if (!replies[i].ok())
          last_error =
              api_error(manager.session().target().name, corrections[i], replies[i]).message;
      }
    }
    if (clock.now() >= deadline) {
      return make_error(Code::deadline_exceeded, "the swarm is not settled after {} s: {} {}",
                        timeout.count(), missing.empty() ? "" : "not ready: " + missing,
                        last_error);
    }
    if (corrections.empty()) poll(nullptr, 0, look_again_ms);
    nodes = json::value();
  }
}

std::string registry_container(const Labfile& labfile, const RegistryConfig& registry) {
  for (const RegistryConfig& other : labfile.registries) {
    if (other.machine == registry.machine)
      return other.port == registry.port ? "registry" : fmt::format("registry-{}", registry.port);
  }
  return "registry";
}

Result<bool> ensure_registry(Node& node, const Labfile& labfile, const RegistryConfig& registry,
                             const ApiReply& found, Progress& progress) {
  boost::system::error_code error;
  json::value state = found.json();
  const json::value* running = state.find_pointer("/State/Running", error);
  if (found.ok() && running != nullptr && running->is_bool() && running->as_bool()) return false;
  std::string name = registry_container(labfile, registry);
  progress.step(registry.machine, fmt::format("starting the registry on port {}", registry.port));
  if (found.status == 404) {
    ApiRequest pull{
        "POST",
        fmt::format("/images/create?fromImage={}&tag={}", registry_repository, registry_tag), "",
        engine_socket, std::chrono::minutes(5)};
    ApiRequest create{"POST", "/containers/create?name=" + name,
                      json::serialize(registry_body(labfile, registry)), engine_socket,
                      seconds(60)};
    LAB_TRY(std::vector<ApiReply> replies, call_api(node.session(), {create}));
    if (replies[0].status == 404) {
      LAB_TRY(ApiReply pulled, call_api_checked(node.session(), pull));
      // The stream's status came before its outcome.
      if (pulled.body.find("\"error\"") != std::string::npos)
        return make_error(Code::unavailable, "{}: pulling registry:2: {}", registry.machine,
                          pulled.body.substr(pulled.body.rfind("{")));
      LAB_CHECK(call_api_checked(node.session(), create));
    } else if (!replies[0].ok()) {
      return api_error(registry.machine, create, replies[0]);
    }
  }
  ApiRequest start{"POST", "/containers/" + name + "/start", "", engine_socket, seconds(60)};
  LAB_CHECK(call_api_checked(node.session(), start));
  return true;
}

}  // namespace lab::provision
