#include "base/blocking.hpp"
#include "engine/api/exchange.hpp"
#include "engine/api/filters.hpp"
#include "engine/api/routes.hpp"
#include "engine/container/rootfs.hpp"
#include "engine/util/expression.hpp"
#include "engine/util/json.hpp"

namespace lab::engine::api {

namespace asio = boost::asio;
namespace json = boost::json;

namespace {

std::map<std::string, std::string> labels_of(const volume::Volume& volume) {
  std::map<std::string, std::string> labels;
  if (!volume.labels.is_object()) return labels;
  const json::object& given = volume.labels.get_object();
  for (const auto& label : given) labels[label.key()] = text_of(given, label.key());
  return labels;
}

Result<bool> matches_filters(Engine& engine, const volume::Volume& volume,
                             const FilterSet& filters) {
  auto any = [&filters](std::string_view name, auto matches) {
    const std::vector<std::string>& values = filters.values(name);
    return values.empty() || std::any_of(values.begin(), values.end(), matches);
  };
  if (filters.has("dangling")) {
    LAB_TRY(bool wanted, filters.flag("dangling", false));
    if (engine.containers().users_of_volume(volume.name).empty() != wanted) return false;
  }
  return filters.match_labels("label", labels_of(volume)) &&
         any("driver", [](const std::string& driver) { return driver == "local"; }) &&
         any("name", [&volume](const std::string& name) { return is_found_in(name, volume.name); });
}

asio::awaitable<Result<void>> list(Engine& engine, http::Exchange& exchange) {
  LAB_CO_TRY(FilterSet filters, FilterSet::parse(exchange.request().query.get("filters")));
  LAB_CO_CHECK(filters.check_names({"dangling", "driver", "label", "name"}));
  if (filters.has("dangling")) LAB_CO_CHECK(filters.flag("dangling", false));
  json::array volumes;
  for (const volume::Volume* volume : engine.volumes().list()) {
    LAB_CO_TRY(bool wanted, matches_filters(engine, *volume, filters));
    if (wanted) volumes.push_back(engine.volumes().settings(*volume));
  }
  json::object answer{{"Volumes", std::move(volumes)}, {"Warnings", nullptr}};
  co_return co_await respond_json(exchange, 200, std::move(answer));
}

asio::awaitable<Result<void>> create(Engine& engine, http::Exchange& exchange) {
  LAB_CO_TRY(json::object body,
             co_await read_body(exchange, "volume.VolumeCreateBody", Code::invalid_argument));
  std::string driver = text_of(body, "Driver");
  std::string name = text_of(body, "Name");
  json::value labels = nullptr;
  if (body.contains("Labels") && body.at("Labels").is_object()) labels = body.at("Labels");
  json::value options = nullptr;
  if (body.contains("DriverOpts") && body.at("DriverOpts").is_object())
    options = body.at("DriverOpts");
  bool fresh = engine.volumes().find(name) == nullptr;
  LAB_CO_TRY(const volume::Volume* volume,
             engine.volumes().create(name, labels, options, false, driver));
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
  LAB_CO_TRY(FilterSet filters, FilterSet::parse(exchange.request().query.get("filters")));
  LAB_CO_CHECK(filters.check_names({"all", "label", "label!"}));
  json::array deleted;
  std::uint64_t reclaimed_bytes = 0;
  std::vector<std::string> names;
  for (const volume::Volume* volume : engine.volumes().list()) names.push_back(volume->name);
  for (const std::string& name : names) {
    const volume::Volume* volume = engine.volumes().find(name);
    if (volume == nullptr || !engine.containers().users_of_volume(name).empty()) continue;
    // What is a mount holds data of somebody else's: as with Docker, it goes only by name.
    bool mounts = !engine.volumes().mount_options(name).type.empty();
    std::map<std::string, std::string> labels = labels_of(*volume);
    bool kept = filters.has("label!") && filters.match_labels("label!", labels);
    if (mounts || kept || !filters.match_labels("label", labels)) continue;
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
