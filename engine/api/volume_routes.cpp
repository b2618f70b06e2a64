#include "base/blocking.hpp"
#include "engine/api/exchange.hpp"
#include "engine/api/routes.hpp"
#include "engine/container/rootfs.hpp"
#include "engine/util/json.hpp"

namespace lab::engine::api {

namespace asio = boost::asio;
namespace json = boost::json;

namespace {

bool has_label(const volume::Volume& volume, const std::string& wanted) {
  if (!volume.labels.is_object()) return false;
  std::size_t equals = wanted.find('=');
  const json::object& labels = volume.labels.get_object();
  if (!labels.contains(wanted.substr(0, equals))) return false;
  return equals == std::string::npos ||
         text_of(labels, wanted.substr(0, equals)) == wanted.substr(equals + 1);
}

Result<bool> matches_value(Engine& engine, const volume::Volume& volume, const std::string& name,
                           const std::string& value) {
  if (name == "name") return volume.name.find(value) != std::string::npos;
  if (name == "driver") return value == "local";
  if (name == "label") return has_label(volume, value);
  if (name == "dangling") {
    bool wanted = value == "true" || value == "1";
    return engine.containers().users_of_volume(volume.name).empty() == wanted;
  }
  return make_error(Code::invalid_argument, "Invalid filter '{}'", name);
}

Result<bool> matches_filters(Engine& engine, const volume::Volume& volume, const Filters& filters) {
  for (const auto& [name, values] : filters) {
    bool any = values.empty();
    for (const std::string& value : values) {
      LAB_TRY(bool one, matches_value(engine, volume, name, value));
      any = any || one;
    }
    if (!any) return false;
  }
  return true;
}

asio::awaitable<Result<void>> list(Engine& engine, http::Exchange& exchange) {
  LAB_CO_TRY(Filters filters, read_filters(exchange.request().query));
  json::array volumes;
  for (const volume::Volume* volume : engine.volumes().list()) {
    LAB_CO_TRY(bool wanted, matches_filters(engine, *volume, filters));
    if (wanted) volumes.push_back(engine.volumes().settings(*volume));
  }
  json::object answer{{"Volumes", std::move(volumes)}, {"Warnings", nullptr}};
  co_return co_await respond_json(exchange, 200, std::move(answer));
}

asio::awaitable<Result<void>> create(Engine& engine, http::Exchange& exchange) {
  LAB_CO_TRY(json::object body, co_await read_json(exchange));
  std::string driver = text_of(body, "Driver");
  std::string name = text_of(body, "Name");
  if (!driver.empty() && driver != "local" && driver != "default") {
    co_return make_error(Code::not_found,
                         "create {}: error looking up volume plugin {}: plugin \"{}\" not found",
                         name, driver, driver);
  }
  json::value labels = nullptr;
  if (body.contains("Labels") && body.at("Labels").is_object()) labels = body.at("Labels");
  json::value options = nullptr;
  if (body.contains("DriverOpts") && body.at("DriverOpts").is_object() &&
      !body.at("DriverOpts").get_object().empty()) {
    co_return make_error(Code::invalid_argument,
                         "create {}: the local driver of this engine takes no options", name);
  }
  bool fresh = engine.volumes().find(name) == nullptr;
  LAB_CO_TRY(const volume::Volume* volume, engine.volumes().create(name, labels, options));
  if (fresh) engine.events().emit("volume", "create", volume->name, {{"driver", "local"}});
  co_return co_await respond_json(exchange, 201, engine.volumes().settings(*volume));
}

asio::awaitable<Result<void>> inspect(Engine& engine, http::Exchange& exchange) {
  const std::string& name = exchange.parameter("name");
  const volume::Volume* volume = engine.volumes().find(name);
  if (volume == nullptr) co_return make_error(Code::not_found, "get {}: no such volume", name);
  co_return co_await respond_json(exchange, 200, engine.volumes().settings(*volume));
}

asio::awaitable<Result<void>> remove(Engine& engine, http::Exchange& exchange) {
  std::string name = exchange.parameter("name");
  bool force = exchange.request().query.flag("force");
  if (engine.volumes().find(name) == nullptr) {
    if (force) co_return co_await respond_status(exchange, 204);
    co_return make_error(Code::not_found, "get {}: no such volume", name);
  }
  std::vector<std::string> users = engine.containers().users_of_volume(name);
  if (!users.empty()) {
    co_return make_error(Code::conflict, "remove {}: volume is in use - [{}]", name,
                         fmt::join(users, ", "));
  }
  LAB_CO_CHECK(engine.volumes().remove(name));
  engine.events().emit("volume", "destroy", name, {{"driver", "local"}});
  co_return co_await respond_status(exchange, 204);
}

asio::awaitable<Result<void>> prune(Engine& engine, http::Exchange& exchange) {
  LAB_CO_TRY(Filters filters, read_filters(exchange.request().query));
  filters.erase("all");
  json::array deleted;
  std::uint64_t reclaimed_bytes = 0;
  std::vector<std::string> names;
  for (const volume::Volume* volume : engine.volumes().list()) names.push_back(volume->name);
  for (const std::string& name : names) {
    const volume::Volume* volume = engine.volumes().find(name);
    if (volume == nullptr || !engine.containers().users_of_volume(name).empty()) continue;
    LAB_CO_TRY(bool wanted, matches_filters(engine, *volume, filters));
    if (!wanted) continue;
    std::filesystem::path folder = engine.volumes().folder(name);
    std::uint64_t bytes = co_await run_blocking<std::uint64_t>(
        [&folder] { return container::folder_size_bytes(folder); });
    LAB_CO_CHECK(engine.volumes().remove(name));
    engine.events().emit("volume", "destroy", name, {{"driver", "local"}});
    reclaimed_bytes += bytes;
    deleted.emplace_back(name);
  }
  json::object answer{{"VolumesDeleted", std::move(deleted)}, {"SpaceReclaimed", reclaimed_bytes}};
  co_return co_await respond_json(exchange, 200, std::move(answer));
}

}  // namespace

void add_volume_routes(http::Router& router, Engine& engine) {
  add_route(router, engine, "GET", "/volumes", list);
  add_route(router, engine, "POST", "/volumes/create", create);
  add_route(router, engine, "POST", "/volumes/prune", prune);
  add_route(router, engine, "GET", "/volumes/{name}", inspect);
  add_route(router, engine, "DELETE", "/volumes/{name}", remove);
}

}  // namespace lab::engine::api
