#include "swarm/api/api.hpp"

#include <charconv>

#include "swarm/api/filters.hpp"
#include "swarm/api/json_fields.hpp"
#include "swarm/api/objects.hpp"
#include "swarm/ca/join_token.hpp"

namespace lab::swarm::api {

namespace asio = boost::asio;
namespace json = boost::json;
using namespace std::chrono_literals;

namespace {

constexpr const char* not_in_swarm =
    "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to "
    "connect this node to swarm and try again.";
constexpr const char* manager_not_ready =
    "This node is not a swarm manager. Manager is being prepared or has trouble connecting to the "
    "cluster.";
constexpr const char* not_a_manager =
    "This node is not a swarm manager. Worker nodes can't be used to view or modify cluster state. "
    "Please run this command on a manager node or promote the current node to a manager.";
constexpr const char* no_leader =
    "rpc error: code = Unknown desc = The swarm does not have a leader. It's possible that too few "
    "managers are online. Make sure more than half of the managers are online.";
// An election takes less; a client had better wait for its end than be refused.
constexpr auto leader_patience = 5s;

struct GrpcRow {
  std::string_view word;
  int status;
};
constexpr GrpcRow grpc_table[] = {
    {"InvalidArgument", 400},  {"FailedPrecondition", 400}, {"OutOfRange", 400},
    {"NotFound", 404},         {"AlreadyExists", 409},      {"Aborted", 409},
    {"PermissionDenied", 403}, {"Unauthenticated", 401},    {"Unavailable", 503},
    {"Unimplemented", 501},
};

http::Response empty_response() { return {.status = 200, .headers = {}, .body = {}}; }

Result<std::uint64_t> parse_version(const http::Query& query, std::string_view what) {
  std::string text = query.get("version");
  std::uint64_t version = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), version);
  if (text.empty() || error != std::errc{} || end != text.data() + text.size()) {
    return make_error(Code::invalid_argument,
                      "invalid {} version '{}': strconv.ParseUint: parsing \"{}\": invalid syntax",
                      what, text, text);
  }
  return version;
}

// Go's strconv.ParseBool; absent is false.
Result<bool> parse_flag(const http::Query& query, std::string_view name) {
  std::string text = query.get(name);
  for (std::string_view yes : {"1", "t", "T", "TRUE", "true", "True"})
    if (text == yes) return true;
  for (std::string_view no : {"", "0", "f", "F", "FALSE", "false", "False"})
    if (text == no) return false;
  return make_error(Code::invalid_argument, "invalid value for {}: {}", name, text);
}

std::string host_of(const std::string& address) {
  Result<transport::HostPort> parts = transport::parse_address(address);
  return parts ? parts->host : address;
}

const proto::ManagerStatus* status_of(const proto::ControlResponse& managers,
                                      const std::string& node_id) {
  for (const proto::ManagerStatusOfNode& entry : managers.managers()) {
    if (entry.node_id() == node_id) return &entry.status();
  }
  return nullptr;
}

proto::ControlRequest list_managers_request() {
  proto::ControlRequest request;
  request.mutable_list_managers();
  return request;
}

}  // namespace

http::Response api_error(const Error& error) {
  http::Response response = http::error_response(error);
  constexpr std::string_view prefix = "rpc error: code = ";
  std::string_view text = error.message;
  if (!text.starts_with(prefix)) {
    if (error.code == Code::deadline_exceeded) response.status = 503;
    return response;
  }
  text.remove_prefix(prefix.size());
  response.status = 500;
  for (const GrpcRow& row : grpc_table) {
    if (text.starts_with(row.word)) response.status = row.status;
  }
  return response;
}

Api::Api(daemon::Daemon& daemon) : daemon_(daemon) {
  add("GET", "/info", &Api::info);
  add("GET", "/swarm", &Api::swarm_inspect);
  add("POST", "/swarm/init", &Api::swarm_init);
  add("POST", "/swarm/join", &Api::swarm_join);
  add("POST", "/swarm/leave", &Api::swarm_leave);
  add("POST", "/swarm/update", &Api::swarm_update);
  add("GET", "/swarm/unlockkey", &Api::swarm_unlock_key);
  add("POST", "/swarm/unlock", &Api::swarm_unlock);
  add("GET", "/nodes", &Api::node_list);
  add("GET", "/nodes/{id}", &Api::node_inspect);
  add("POST", "/nodes/{id}/update", &Api::node_update);
  add("DELETE", "/nodes/{id}", &Api::node_remove);
  for (std::string_view list : {"/services", "/tasks", "/secrets", "/configs"}) {
    add("GET", list, &Api::empty_list);
    add("GET", fmt::format("{}/{{id}}", list), &Api::nothing_found);
  }
}

void Api::add(std::string_view method, std::string_view pattern, Method handler) {
  router_.add(method, pattern,
              [this, handler](http::Exchange& exchange) { return run(handler, exchange); });
}

asio::awaitable<Result<void>> Api::run(Method method, http::Exchange& exchange) {
  Result<http::Response> response = co_await (this->*method)(exchange);
  http::Response answer = response ? std::move(*response) : api_error(response.error());
  co_return co_await exchange.respond(std::move(answer));
}

// ---- What requests stand on

Result<void> Api::require_manager() const {
  const store::Store* store = daemon_.store();
  if (store != nullptr && store->cluster()) return {};
  NodeView view = daemon_.view();
  if (view.node_id.empty()) return Error{Code::unavailable, not_in_swarm};
  bool manager = view.role == proto::ROLE_MANAGER;
  return Error{Code::unavailable, manager ? manager_not_ready : not_a_manager};
}

asio::awaitable<Result<proto::ControlResponse>> Api::write(proto::ControlRequest body) {
  LAB_CO_CHECK(require_manager());
  bool led = co_await daemon_.wait_for_leader(leader_patience);
  if (!led) co_return Error{Code::unavailable, no_leader};
  co_return co_await daemon_.control(std::move(body));
}

asio::awaitable<Result<proto::ControlResponse>> Api::fresh() {
  proto::ControlRequest request = list_managers_request();
  Result<proto::ControlResponse> managers = co_await write(std::move(request));
  if (managers) LAB_CO_CHECK(require_manager());  // it may have left meanwhile
  co_return managers;
}

Result<store::NodePtr> Api::find_node(const std::string& name) const {
  const store::Store& store = *daemon_.store();
  if (store::NodePtr node = store.node(name)) return node;
  std::vector<store::NodePtr> by_name;
  std::vector<store::NodePtr> by_prefix;
  for (const auto& [id, node] : store.nodes()) {
    if (node->description().hostname() == name) by_name.push_back(node);
    if (!name.empty() && id.starts_with(name)) by_prefix.push_back(node);
  }
  const std::vector<store::NodePtr>& found = by_name.empty() ? by_prefix : by_name;
  if (found.empty()) return make_error(Code::not_found, "node {} not found", name);
  if (found.size() > 1) {
    return make_error(Code::internal, "node {} is ambiguous ({} matches found)", name,
                      found.size());
  }
  return found.front();
}

// ---- The node itself

Api::Answer Api::info(http::Exchange&) {
  NodeView view = daemon_.view();
  const store::Store* store = daemon_.store();
  bool control = store != nullptr && store->cluster();
  json::object object;
  object["NodeID"] = view.node_id;
  object["NodeAddr"] = view.node_id.empty() ? std::string() : host_of(view.advertise_address);
  constexpr std::string_view states[] = {"inactive", "pending", "active", "error"};
  object["LocalNodeState"] = states[static_cast<std::size_t>(view.state)];
  object["ControlAvailable"] = control;
  // An active node's passing troubles (a manager that just stepped down) are not its state.
  bool troubled = view.state != LocalNodeState::active;
  object["Error"] = control && !view.control_available ? no_leader : troubled ? view.error : "";
  json::array managers;
  for (const proto::Peer& peer : view.managers)
    managers.push_back(json::object{{"NodeID", peer.node_id()}, {"Addr", peer.address()}});
  if (managers.empty()) {
    object["RemoteManagers"] = nullptr;
  } else {
    object["RemoteManagers"] = std::move(managers);
  }
  if (control && view.control_available) {
    std::size_t count = 0;
    for (const auto& [id, node] : store->nodes()) {
      if (node->has_manager_status()) ++count;
    }
    object["Nodes"] = store->nodes().size();
    object["Managers"] = count;
    object["Cluster"] = cluster_json(*store->cluster());
  }
  co_return http::json_response(200, object);
}

// ---- The swarm

Api::Answer Api::swarm_inspect(http::Exchange&) {
  LAB_CO_CHECK(co_await fresh());
  co_return http::json_response(200, swarm_json(*daemon_.store()->cluster()));
}

Api::Answer Api::swarm_init(http::Exchange& exchange) {
  LAB_CO_TRY(std::string text, co_await exchange.read_all());
  LAB_CO_TRY(json::object body, parse_body(text));
  daemon::InitParameters parameters;
  LAB_CO_TRY(parameters.listen_address, text_field(body, "ListenAddr"));
  LAB_CO_TRY(parameters.advertise_address, text_field(body, "AdvertiseAddr"));
  LAB_CO_TRY(bool force, boolean_field(body, "ForceNewCluster"));
  if (force) {
    co_return Error{Code::unsupported,
                    "forcing a new cluster out of a manager's state is not supported"};
  }
  LAB_CO_TRY(bool autolock, boolean_field(body, "AutoLockManagers"));
  if (autolock) co_return Error{Code::unsupported, "autolock is not supported"};
  LAB_CO_TRY(std::string availability, text_field(body, "Availability"));
  if (!availability.empty()) {
    LAB_CO_TRY(parameters.availability, parse_availability(availability));
  }
  LAB_CO_TRY(json::object spec_body, object_field(body, "Spec"));
  LAB_CO_TRY(proto::ClusterSpec spec, parse_cluster_spec(spec_body, default_cluster("").spec()));
  LAB_CO_TRY(std::vector<std::string> pools, texts_field(body, "DefaultAddrPool"));
  LAB_CO_TRY(std::int64_t subnet_size, integer_field(body, "SubnetSize"));
  LAB_CO_TRY(std::int64_t data_path_port, integer_field(body, "DataPathPort"));
  parameters.adjust = [spec, pools, subnet_size, data_path_port](proto::Cluster& cluster) {
    *cluster.mutable_spec() = spec;
    if (!pools.empty()) cluster.clear_default_address_pools();
    for (const std::string& pool : pools) cluster.add_default_address_pools(pool);
    if (subnet_size > 0) cluster.set_subnet_size(static_cast<std::uint32_t>(subnet_size));
    if (data_path_port > 0) cluster.set_data_path_port(static_cast<std::uint32_t>(data_path_port));
  };
  LAB_CO_TRY(std::string node_id, co_await daemon_.init(std::move(parameters)));
  co_return http::json_response(200, json::value(node_id));
}

Api::Answer Api::swarm_join(http::Exchange& exchange) {
  LAB_CO_TRY(std::string text, co_await exchange.read_all());
  LAB_CO_TRY(json::object body, parse_body(text));
  daemon::JoinParameters parameters;
  LAB_CO_TRY(parameters.listen_address, text_field(body, "ListenAddr"));
  LAB_CO_TRY(parameters.advertise_address, text_field(body, "AdvertiseAddr"));
  LAB_CO_TRY(parameters.managers, texts_field(body, "RemoteAddrs"));
  LAB_CO_TRY(parameters.token, text_field(body, "JoinToken"));
  LAB_CO_TRY(std::string availability, text_field(body, "Availability"));
  if (!availability.empty()) {
    LAB_CO_TRY(parameters.availability, parse_availability(availability));
  }
  LAB_CO_CHECK(co_await daemon_.join(std::move(parameters)));
  co_return empty_response();
}

// dockerd's reasons against leaving, for a manager; empty when it knows none.
asio::awaitable<std::string> Api::objection_to_leaving() {
  if (daemon_.store() == nullptr) co_return std::string();
  std::string text =
      "You are attempting to leave the swarm on a node that is participating as a manager. ";
  constexpr std::string_view consensus =
      "The only way to restore a swarm that has lost consensus is to reinitialize it with "
      "`--force-new-cluster`. Use `--force` to suppress this message.";
  if (require_manager().has_error()) {
    text += "Doing so may lose the consensus of your cluster. ";
    co_return text.append(consensus);
  }
  if (!daemon_.view().control_available) co_return text.append(consensus);
  Result<proto::ControlResponse> managers = co_await fresh();
  if (!managers) co_return text.append(consensus);
  int reachable = 0;
  int unreachable = 0;
  for (const proto::ManagerStatusOfNode& manager : managers->managers()) {
    bool answers = manager.status().reachability() == proto::REACHABILITY_REACHABLE;
    ++(answers ? reachable : unreachable);
  }
  if (reachable - 2 <= unreachable) {
    if (reachable == 1 && unreachable == 0) {
      text +=
          "Removing the last manager erases all current state of the swarm. Use `--force` to "
          "ignore this message. ";
      co_return text;
    }
    text += fmt::format(
        "Removing this node leaves {} managers out of {}. Without a Raft quorum your swarm will be "
        "inaccessible. ",
        reachable - 1, reachable + unreachable);
  }
  co_return text.append(consensus);
}

Api::Answer Api::swarm_leave(http::Exchange& exchange) {
  if (!exchange.request().query.flag("force")) {
    std::string objection = co_await objection_to_leaving();
    if (!objection.empty()) co_return Error{Code::unavailable, std::move(objection)};
  }
  LAB_CO_CHECK(co_await daemon_.leave());
  co_return empty_response();
}

Api::Answer Api::swarm_update(http::Exchange& exchange) {
  LAB_CO_TRY(std::string text, co_await exchange.read_all());
  LAB_CO_TRY(json::object body, parse_body(text));
  const http::Query& query = exchange.request().query;
  LAB_CO_TRY(std::uint64_t version, parse_version(query, "swarm"));
  LAB_CO_TRY(bool rotate_worker, parse_flag(query, "rotateWorkerToken"));
  LAB_CO_TRY(bool rotate_manager, parse_flag(query, "rotateManagerToken"));
  LAB_CO_CHECK(require_manager());
  LAB_CO_TRY(proto::ClusterSpec spec, parse_cluster_spec(body, proto::ClusterSpec()));
  proto::ControlRequest request;
  proto::UpdateCluster& update = *request.mutable_update_cluster();
  const store::ClusterPtr cluster = daemon_.store()->cluster();
  update.set_cluster_id(cluster->id());
  update.set_version(version);
  *update.mutable_spec() = std::move(spec);
  const std::string& root = cluster->root_ca().certificate_pem();
  if (rotate_worker) update.mutable_new_tokens()->set_worker(ca::make_join_token(root));
  if (rotate_manager) update.mutable_new_tokens()->set_manager(ca::make_join_token(root));
  LAB_CO_CHECK(co_await write(std::move(request)));
  co_return empty_response();
}

Api::Answer Api::swarm_unlock_key(http::Exchange&) {
  LAB_CO_CHECK(co_await fresh());
  co_return http::json_response(200, json::object{{"UnlockKey", ""}});
}

Api::Answer Api::swarm_unlock(http::Exchange&) {
  if (daemon_.view().node_id.empty()) co_return Error{Code::unavailable, not_in_swarm};
  co_return Error{Code::conflict, "swarm is not locked"};
}

// ---- Nodes

Api::Answer Api::node_list(http::Exchange& exchange) {
  LAB_CO_CHECK(require_manager());
  LAB_CO_TRY(NodeFilters filters, NodeFilters::parse(exchange.request().query.get("filters")));
  LAB_CO_TRY(proto::ControlResponse managers, co_await fresh());
  const store::Store& store = *daemon_.store();
  json::array list;
  for (const auto& [id, node] : store.nodes()) {
    if (filters.match(*node))
      list.push_back(node_json(*node, *store.cluster(), status_of(managers, id)));
  }
  co_return http::json_response(200, list);
}

Api::Answer Api::node_inspect(http::Exchange& exchange) {
  LAB_CO_TRY(proto::ControlResponse managers, co_await fresh());
  LAB_CO_TRY(store::NodePtr node, find_node(exchange.parameter("id")));
  co_return http::json_response(
      200, node_json(*node, *daemon_.store()->cluster(), status_of(managers, node->id())));
}

Api::Answer Api::node_update(http::Exchange& exchange) {
  LAB_CO_TRY(std::string text, co_await exchange.read_all());
  LAB_CO_TRY(json::object body, parse_body(text));
  LAB_CO_TRY(std::uint64_t version, parse_version(exchange.request().query, "node"));
  LAB_CO_CHECK(require_manager());
  LAB_CO_TRY(proto::NodeSpec spec, parse_node_spec(body));
  LAB_CO_CHECK(co_await fresh());
  LAB_CO_TRY(store::NodePtr node, find_node(exchange.parameter("id")));
  proto::ControlRequest request;
  request.mutable_update_node()->set_node_id(node->id());
  request.mutable_update_node()->set_version(version);
  *request.mutable_update_node()->mutable_spec() = std::move(spec);
  LAB_CO_CHECK(co_await write(std::move(request)));
  co_return empty_response();
}

Api::Answer Api::node_remove(http::Exchange& exchange) {
  LAB_CO_CHECK(co_await fresh());
  LAB_CO_TRY(store::NodePtr node, find_node(exchange.parameter("id")));
  proto::ControlRequest request;
  request.mutable_remove_node()->set_node_id(node->id());
  request.mutable_remove_node()->set_force(exchange.request().query.flag("force"));
  LAB_CO_CHECK(co_await write(std::move(request)));
  co_return empty_response();
}

// ---- What a swarm without services has

Api::Answer Api::empty_list(http::Exchange&) {
  LAB_CO_CHECK(co_await fresh());
  co_return http::json_response(200, json::array());
}

Api::Answer Api::nothing_found(http::Exchange& exchange) {
  LAB_CO_CHECK(co_await fresh());
  // "/v1.41/services/x": the kind is the segment before the name, without its plural.
  std::string path = exchange.request().path;
  std::size_t end = path.rfind('/');
  std::size_t begin = path.rfind('/', end - 1) + 1;
  std::string kind = path.substr(begin, end - begin - 1);
  co_return make_error(Code::not_found, "{} {} not found", kind, exchange.parameter("id"));
}

}  // namespace lab::swarm::api
