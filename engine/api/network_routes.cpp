#include "engine/api/exchange.hpp"
#include "engine/api/routes.hpp"
#include "engine/util/json.hpp"

namespace lab::engine::api {

namespace asio = boost::asio;
namespace json = boost::json;

namespace {

json::object containers_on(Engine& engine, const network::Network& network) {
  json::object containers;
  for (const container::ContainerPtr& container : engine.containers().list()) {
    if (!container->sandbox) continue;
    for (const network::Endpoint& endpoint : container->sandbox->endpoints) {
      if (endpoint.network_id != network.id) continue;
      bool addressed = endpoint.address != 0;
      containers[container->id] = json::object{
          {"Name", container->name},
          {"EndpointID", endpoint.id},
          {"MacAddress", addressed ? network::format_mac(endpoint.mac) : ""},
          {"IPv4Address",
           addressed ? fmt::format("{}/{}", network::format_ipv4(endpoint.address), endpoint.prefix)
                     : ""},
          {"IPv6Address", ""}};
    }
  }
  return containers;
}

json::object describe(Engine& engine, const network::Network& network, bool with_containers) {
  json::array pools;
  if (network.driver == "bridge") {
    json::object pool{{"Subnet", network.subnet_text()}};
    pool["Gateway"] = network::format_ipv4(network.gateway);
    pools.push_back(std::move(pool));
  }
  return json::object{
      {"Name", network.name},
      {"Id", network.id},
      {"Created", network.created},
      {"Scope", "local"},
      {"Driver", network.driver},
      {"EnableIPv6", false},
      {"IPAM",
       json::object{{"Driver", "default"}, {"Options", nullptr}, {"Config", std::move(pools)}}},
      {"Internal", false},
      {"Attachable", false},
      {"Ingress", false},
      {"ConfigFrom", json::object{{"Network", ""}}},
      {"ConfigOnly", false},
      {"Containers", with_containers ? containers_on(engine, network) : json::object()},
      {"Options", network.options},
      {"Labels", network.labels}};
}

Result<bool> matches_value(const network::Network& network, const std::string& name,
                           const std::string& value) {
  if (name == "name") return network.name.find(value) != std::string::npos;
  if (name == "id") return network.id.starts_with(value);
  if (name == "driver") return network.driver == value;
  if (name == "scope") return value == "local";
  if (name == "type") return value == "builtin";
  if (name == "label") return network.labels.contains(value.substr(0, value.find('=')));
  if (name == "dangling") return value == "false" || value == "0";
  return make_error(Code::invalid_argument, "Invalid filter '{}'", name);
}

Result<bool> matches_filters(const network::Network& network, const Filters& filters) {
  for (const auto& [name, values] : filters) {
    bool any = values.empty();
    for (const std::string& value : values) {
      LAB_TRY(bool one, matches_value(network, name, value));
      any = any || one;
    }
    if (!any) return false;
  }
  return true;
}

asio::awaitable<Result<void>> list(Engine& engine, http::Exchange& exchange) {
  LAB_CO_TRY(Filters filters, read_filters(exchange.request().query));
  json::array networks;
  for (const network::Network* network : engine.networks().list()) {
    LAB_CO_TRY(bool wanted, matches_filters(*network, filters));
    if (wanted) networks.push_back(describe(engine, *network, false));
  }
  co_return co_await respond_json(exchange, 200, std::move(networks));
}

asio::awaitable<Result<void>> inspect(Engine& engine, http::Exchange& exchange) {
  const std::string& id = exchange.parameter("id");
  const network::Network* network = engine.networks().find(id);
  if (network == nullptr) co_return make_error(Code::not_found, "network {} not found", id);
  co_return co_await respond_json(exchange, 200, describe(engine, *network, true));
}

asio::awaitable<Result<void>> remove(Engine& engine, http::Exchange& exchange) {
  const std::string& id = exchange.parameter("id");
  const network::Network* network = engine.networks().find(id);
  if (network == nullptr) co_return make_error(Code::not_found, "network {} not found", id);
  co_return make_error(Code::forbidden, "{} is a pre-defined network and cannot be removed",
                       network->name);
}

}  // namespace

void add_network_routes(http::Router& router, Engine& engine) {
  add_route(router, engine, "GET", "/networks", list);
  add_route(router, engine, "GET", "/networks/{id}", inspect);
  add_route(router, engine, "DELETE", "/networks/{id}", remove);
}

}  // namespace lab::engine::api
