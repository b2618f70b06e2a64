#include "engine/api/exchange.hpp"
#include "engine/api/filters.hpp"
#include "engine/api/routes.hpp"
#include "engine/api/version.hpp"
#include "engine/util/expression.hpp"
#include "engine/util/json.hpp"

namespace lab::engine::api {

namespace asio = boost::asio;
namespace json = boost::json;

using network::NetworkPtr;

namespace {

std::string with_prefix(const std::optional<network::IpAddress>& address, int prefix) {
  return address ? fmt::format("{}/{}", address->to_string(), prefix) : std::string();
}

json::object containers_on(Engine& engine, const network::Network& network) {
  json::object containers;
  for (const container::ContainerPtr& container : engine.containers().list()) {
    if (!container->sandbox) continue;
    const network::Endpoint* endpoint = container->sandbox->on(network.id);
    if (endpoint == nullptr) continue;
    containers[container->id] =
        json::object{{"Name", container->name},
                     {"EndpointID", endpoint->id},
                     {"MacAddress", endpoint->address ? network::format_mac(endpoint->mac) : ""},
                     {"IPv4Address", with_prefix(endpoint->address, endpoint->prefix)},
                     {"IPv6Address", with_prefix(endpoint->address6, endpoint->prefix6)}};
  }
  return containers;
}

json::object describe(Engine& engine, const network::Network& network, bool with_containers) {
  json::array pools;
  for (const network::IpamConfig& ipam : network.ipam)
    pools.push_back(network::ipam_settings(ipam));
  return json::object{
      {"Name", network.name},
      {"Id", network.id},
      {"Created", network.created},
      {"Scope", "local"},
      {"Driver", network.driver},
      {"EnableIPv6", network.ipv6},
      {"IPAM",
       json::object{
           {"Driver", "default"}, {"Options", network.ipam_options}, {"Config", std::move(pools)}}},
      {"Internal", network.internal},
      {"Attachable", network.attachable},
      {"Ingress", false},
      {"ConfigFrom", json::object{{"Network", network.config_from}}},
      {"ConfigOnly", network.config_only},
      {"Containers", with_containers ? containers_on(engine, network) : json::object()},
      {"Options", network.options},
      {"Labels", network.labels}};
}

std::map<std::string, std::string> labels_of(const network::Network& network) {
  std::map<std::string, std::string> labels;
  for (const auto& label : network.labels)
    labels[label.key()] = text_of(network.labels, label.key());
  return labels;
}

bool matches_any(const FilterSet& filters, std::string_view name,
                 const std::function<bool(const std::string&)>& matches) {
  const std::vector<std::string>& values = filters.values(name);
  return values.empty() || std::any_of(values.begin(), values.end(), matches);
}

// `dangling`: nobody is on it, and it is not predefined.
Result<bool> matches_dangling(Engine& engine, const network::Network& network,
                              const FilterSet& filters) {
  if (!filters.has("dangling")) return true;
  Result<bool> wanted = filters.flag("dangling", false);
  if (!wanted) {
    return make_error(Code::invalid_argument,
                      "invalid value for filter 'dangling', must be \"true\" (or \"1\"), or "
                      "\"false\" (or \"0\")");
  }
  bool dangling = !network.predefined && !engine.networks().has_endpoints(network);
  return dangling == *wanted;
}

Result<bool> matches_filters(Engine& engine, const network::Network& network,
                             const FilterSet& filters) {
  for (const std::string& type : filters.values("type")) {
    if (type != "builtin" && type != "custom")
      return make_error(Code::internal, "invalid filter: 'type'='{}'", type);
  }
  LAB_TRY(bool dangling, matches_dangling(engine, network, filters));
  auto is_type = [&network](const std::string& type) {
    return (type == "builtin") == network.predefined;
  };
  return dangling && filters.match_labels("label", labels_of(network)) &&
         matches_any(filters, "type", is_type) &&
         matches_any(filters, "driver",
                     [&network](const std::string& driver) { return network.driver == driver; }) &&
         matches_any(filters, "scope", [](const std::string& scope) { return scope == "local"; }) &&
         matches_any(filters, "id",
                     [&network](const std::string& id) {
                       return network.id.find(id) != std::string::npos;
                     }) &&
         matches_any(filters, "name", [&network](const std::string& name) {
           return is_found_in(name, network.name);
         });
}

asio::awaitable<Result<void>> list(Engine& engine, http::Exchange& exchange) {
  LAB_CO_TRY(FilterSet filters, FilterSet::parse(exchange.request().query.get("filters")));
  LAB_CO_CHECK(filters.check_names({"dangling", "driver", "id", "label", "name", "scope", "type"}));
  const bool with_containers = older_than(exchange, {1, 28});
  json::array networks;
  for (const NetworkPtr& network : engine.networks().list()) {
    LAB_CO_TRY(bool wanted, matches_filters(engine, *network, filters));
    if (wanted) networks.push_back(describe(engine, *network, with_containers));
  }
  co_return co_await respond_json(exchange, 200, std::move(networks));
}

asio::awaitable<Result<void>> inspect(Engine& engine, http::Exchange& exchange) {
  const std::string& id = exchange.parameter("id");
  std::string scope = exchange.request().query.get("scope");
  if (!scope.empty() && scope != "local")
    co_return make_error(Code::not_found, "network {} not found", id);
  LAB_CO_TRY(NetworkPtr network, engine.networks().find(id));
  co_return co_await respond_json(exchange, 200, describe(engine, *network, true));
}

void emit(Engine& engine, const network::Network& network, std::string action) {
  engine.events().emit("network", std::move(action), network.id,
                       {{"name", network.name}, {"type", network.driver}});
}

asio::awaitable<Result<void>> create(Engine& engine, http::Exchange& exchange) {
  LAB_CO_TRY(json::object body,
             co_await read_body(exchange, "types.NetworkCreateRequest", Code::invalid_argument));
  network::CreateRequest request;
  request.name = text_of(body, "Name");
  request.driver = text_of(body, "Driver");
  request.check_duplicate = flag_of(body, "CheckDuplicate");
  request.ipv6 = flag_of(body, "EnableIPv6");
  request.internal = flag_of(body, "Internal");
  request.attachable = flag_of(body, "Attachable");
  request.ingress = flag_of(body, "Ingress");
  request.scope = text_of(body, "Scope");
  request.config_only = flag_of(body, "ConfigOnly");
  request.config_from = text_of(object_of(body, "ConfigFrom"), "Network");
  request.ipam = object_of(body, "IPAM");
  request.options = object_of(body, "Options");
  request.labels = object_of(body, "Labels");
  LAB_CO_TRY(network::Created created, co_await engine.networks().create(std::move(request)));
  LAB_CO_TRY(NetworkPtr network, engine.networks().find(created.id));
  emit(engine, *network, "create");
  json::object answer{{"Id", created.id}, {"Warning", created.warning}};
  co_return co_await respond_json(exchange, 201, std::move(answer));
}

asio::awaitable<Result<void>> remove(Engine& engine, http::Exchange& exchange) {
  LAB_CO_TRY(NetworkPtr network, engine.networks().find(exchange.parameter("id")));
  LAB_CO_CHECK(co_await engine.networks().remove(network));
  emit(engine, *network, "destroy");
  co_return co_await respond_status(exchange, 204);
}

asio::awaitable<Result<void>> connect(Engine& engine, http::Exchange& exchange) {
  LAB_CO_TRY(json::object body,
             co_await read_body(exchange, "types.NetworkConnect", Code::invalid_argument));
  LAB_CO_TRY(container::ContainerPtr container,
             engine.containers().find(text_of(body, "Container")));
  LAB_CO_CHECK(co_await engine.containers().connect(container, exchange.parameter("id"),
                                                    object_of(body, "EndpointConfig")));
  co_return co_await respond_status(exchange, 200);
}

asio::awaitable<Result<void>> disconnect(Engine& engine, http::Exchange& exchange) {
  LAB_CO_TRY(json::object body,
             co_await read_body(exchange, "types.NetworkDisconnect", Code::invalid_argument));
  LAB_CO_TRY(container::ContainerPtr container,
             engine.containers().find(text_of(body, "Container")));
  LAB_CO_CHECK(co_await engine.containers().disconnect(container, exchange.parameter("id"),
                                                       flag_of(body, "Force")));
  co_return co_await respond_status(exchange, 200);
}

asio::awaitable<Result<void>> prune(Engine& engine, http::Exchange& exchange) {
  LAB_CO_TRY(FilterSet filters, FilterSet::parse(exchange.request().query.get("filters")));
  LAB_CO_CHECK(filters.check_names({"label", "label!", "until"}));
  LAB_CO_TRY(std::int64_t until, until_of(filters, engine.clock()));
  json::array deleted;
  for (const NetworkPtr& network : engine.networks().list()) {
    bool used =
        network->predefined || network->config_only || engine.networks().has_endpoints(*network);
    std::map<std::string, std::string> labels = labels_of(*network);
    bool kept = filters.has("label!") && filters.match_labels("label!", labels);
    LAB_CO_TRY(WallTime created, parse_time(network->created, engine.clock().wall_now()));
    bool young =
        std::chrono::floor<std::chrono::seconds>(created.time_since_epoch()).count() > until;
    if (used || kept || young || !filters.match_labels("label", labels)) continue;
    if (Result<void> gone = co_await engine.networks().remove(network); !gone) continue;
    emit(engine, *network, "destroy");
    deleted.emplace_back(network->name);
  }
  json::object answer;
  answer["NetworksDeleted"] = nullptr;
  if (!deleted.empty()) answer["NetworksDeleted"] = std::move(deleted);
  co_return co_await respond_json(exchange, 200, std::move(answer));
}

}  // namespace

void add_network_routes(http::Router& router, Engine& engine) {
  add_route(router, engine, "GET", "/networks", list);
  add_route(router, engine, "POST", "/networks/create", create);
  add_route(router, engine, "POST", "/networks/prune", prune);
  add_route(router, engine, "GET", "/networks/{id}", inspect);
  add_route(router, engine, "DELETE", "/networks/{id}", remove);
  add_route(router, engine, "POST", "/networks/{id}/connect", connect);
  add_route(router, engine, "POST", "/networks/{id}/disconnect", disconnect);
}

}  // namespace lab::engine::api
