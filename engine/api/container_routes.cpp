#include <boost/json/serialize.hpp>

#include "base/blocking.hpp"
#include "engine/api/exchange.hpp"
#include "engine/api/filters.hpp"
#include "engine/api/older_clients.hpp"
#include "engine/api/routes.hpp"
#include "engine/api/version.hpp"
#include "engine/container/config.hpp"
#include "engine/container/inspect.hpp"
#include "engine/container/top.hpp"
#include "engine/image/platform.hpp"
#include "engine/util/json.hpp"

namespace lab::engine::api {

namespace asio = boost::asio;
namespace json = boost::json;

using container::ContainerPtr;

namespace {

Result<ContainerPtr> find(Engine& engine, http::Exchange& exchange) {
  return engine.containers().find(exchange.parameter("id"));
}

// The optional query parameter "t": seconds.
Result<std::optional<std::int64_t>> timeout_of(http::Exchange& exchange) {
  if (exchange.request().query.get("t").empty()) return std::optional<std::int64_t>();
  LAB_TRY(std::int64_t seconds, read_number(exchange.request().query, "t"));
  return std::optional<std::int64_t>(seconds);
}

// The query parameter "platform" of a creation: "linux/arm64".
Result<void> check_platform(Engine& engine, const std::string& platform, const std::string& name) {
  if (platform.empty()) return {};
  LAB_CHECK(image::check_platform_name(platform));
  Result<image::ImagePtr> image = engine.images().resolve(name);
  if (!image || platform.find('/') == std::string::npos || image::is_own_platform(platform))
    return {};
  return make_error(Code::not_found,
                    "image with reference {} was found but does not match the specified platform: "
                    "wanted {}, actual: linux/amd64",
                    name, platform);
}

// Old clients name some limits beside the configuration instead of in "HostConfig".
json::object host_config_of(const json::object& body) {
  json::object host_config = object_of(body, "HostConfig");
  for (const char* name : {"Memory", "MemorySwap", "CpuShares"}) {
    const std::int64_t value = integer_of(body, name);
    if (value != 0 && integer_of(host_config, name) == 0) host_config[name] = value;
  }
  for (const char* name : {"CpusetCpus", "VolumeDriver"}) {
    const std::string value = text_of(body, name);
    if (!value.empty() && text_of(host_config, name).empty()) host_config[name] = value;
  }
  return host_config;
}

asio::awaitable<Result<void>> create(Engine& engine, http::Exchange& exchange) {
  std::string name = exchange.request().query.get("name");
  LAB_CO_TRY(json::object body, co_await read_body(exchange, "runconfig.ContainerConfigWrapper"));
  if (!container::has_config(body)) {
    co_return make_error(Code::invalid_argument,
                         "Config cannot be empty in order to create a container");
  }
  if (!older_than(exchange, {1, 41})) {
    LAB_CO_CHECK(
        check_platform(engine, exchange.request().query.get("platform"), text_of(body, "Image")));
  }
  adapt_creation(body, exchange);
  container::CreateRequest request;
  request.name = name;
  request.host_config = host_config_of(body);
  request.networking_config = object_of(body, "NetworkingConfig");
  request.config = std::move(body);
  LAB_CO_TRY(container::CreateResult created,
             co_await engine.containers().create(std::move(request)));
  json::object answer{{"Id", created.id}, {"Warnings", to_array(created.warnings)}};
  co_return co_await respond_json(exchange, 201, std::move(answer));
}

asio::awaitable<Result<container::ContainerSizes>> measured(Engine& engine,
                                                            ContainerPtr container) {
  co_return co_await run_blocking<container::ContainerSizes>(
      [&engine, &container] { return container::measure(engine.containers(), *container); });
}

asio::awaitable<Result<void>> list(Engine& engine, http::Exchange& exchange) {
  const http::Query& query = exchange.request().query;
  container::ListOptions options;
  options.all = query.flag("all");
  if (!query.get("limit").empty()) {
    LAB_CO_TRY(options.limit, read_number(query, "limit"));
  }
  LAB_CO_TRY(options.filters, read_filters(query));
  bool size = query.flag("size");
  LAB_CO_TRY(auto selected, container::select(engine.containers(), options));
  json::array answer;
  for (const ContainerPtr& container : selected) {
    std::optional<container::ContainerSizes> sizes;
    if (size) {
      LAB_CO_TRY(sizes, co_await measured(engine, container));
    }
    answer.push_back(container::summarize(engine.containers(), *container, sizes));
  }
  co_return co_await respond_json(exchange, 200, std::move(answer));
}

asio::awaitable<Result<void>> inspect(Engine& engine, http::Exchange& exchange) {
  LAB_CO_TRY(ContainerPtr container, find(engine, exchange));
  std::optional<container::ContainerSizes> sizes;
  if (exchange.request().query.flag("size")) {
    LAB_CO_TRY(sizes, co_await measured(engine, container));
  }
  co_return co_await respond_json(exchange, 200,
                                  container::inspect(engine.containers(), *container, sizes));
}

asio::awaitable<Result<void>> start(Engine& engine, http::Exchange& exchange) {
  // Until API 1.22 a start could bring a HostConfig. Some clients still send an empty document.
  constexpr std::size_t empty_document_bytes_max = 7;
  LAB_CO_TRY(const std::string body, co_await exchange.read_all());
  if (body.size() > empty_document_bytes_max) {
    co_return make_error(Code::invalid_argument,
                         "starting container with non-empty request body was deprecated since API "
                         "v1.22 and removed in v1.24");
  }
  LAB_CO_TRY(ContainerPtr container, find(engine, exchange));
  LAB_CO_CHECK(co_await engine.containers().start(container));
  co_return co_await respond_status(exchange, 204);
}

asio::awaitable<Result<void>> stop(Engine& engine, http::Exchange& exchange) {
  LAB_CO_TRY(ContainerPtr container, find(engine, exchange));
  LAB_CO_TRY(std::optional<std::int64_t> seconds, timeout_of(exchange));
  LAB_CO_CHECK(co_await engine.containers().stop(container, seconds));
  co_return co_await respond_status(exchange, 204);
}

asio::awaitable<Result<void>> restart(Engine& engine, http::Exchange& exchange) {
  LAB_CO_TRY(ContainerPtr container, find(engine, exchange));
  LAB_CO_TRY(std::optional<std::int64_t> seconds, timeout_of(exchange));
  LAB_CO_CHECK(co_await engine.containers().restart(container, seconds));
  co_return co_await respond_status(exchange, 204);
}

asio::awaitable<Result<void>> kill(Engine& engine, http::Exchange& exchange) {
  std::string text = exchange.request().query.get("signal");
  int signal = 9;
  if (!text.empty()) {
    LAB_CO_TRY(signal, container::parse_signal(text));
  }
  Result<ContainerPtr> container = find(engine, exchange);
  if (!container) {
    co_return std::move(container).error().wrap("Cannot kill container: {}",
                                                exchange.parameter("id"));
  }
  Result<void> killed = co_await engine.containers().kill(*container, signal);
  if (!killed) {
    co_return std::move(killed).error().wrap("Cannot kill container: {}", exchange.parameter("id"));
  }
  co_return co_await respond_status(exchange, 204);
}

asio::awaitable<Result<void>> pause(Engine& engine, http::Exchange& exchange) {
  LAB_CO_TRY(ContainerPtr container, find(engine, exchange));
  LAB_CO_CHECK(co_await engine.containers().pause(container));
  co_return co_await respond_status(exchange, 204);
}

asio::awaitable<Result<void>> unpause(Engine& engine, http::Exchange& exchange) {
  LAB_CO_TRY(ContainerPtr container, find(engine, exchange));
  LAB_CO_CHECK(co_await engine.containers().unpause(container));
  co_return co_await respond_status(exchange, 204);
}

asio::awaitable<Result<void>> rename(Engine& engine, http::Exchange& exchange) {
  LAB_CO_TRY(ContainerPtr container, find(engine, exchange));
  LAB_CO_CHECK(engine.containers().rename(container, exchange.request().query.get("name")));
  co_return co_await respond_status(exchange, 204);
}

asio::awaitable<Result<void>> remove(Engine& engine, http::Exchange& exchange) {
  LAB_CO_TRY(ContainerPtr container, find(engine, exchange));
  container::RemoveOptions options;
  options.force = exchange.request().query.flag("force");
  options.volumes = exchange.request().query.flag("v");
  LAB_CO_CHECK(co_await engine.containers().remove(container, options));
  co_return co_await respond_status(exchange, 204);
}

// DELETE /containers/NAME/ALIAS?link=1: `docker rm --link`.
asio::awaitable<Result<void>> remove_link(Engine& engine, http::Exchange& exchange) {
  const std::string& alias = exchange.parameter("alias");
  Result<ContainerPtr> container = find(engine, exchange);
  const bool asked = exchange.request().query.flag("link");
  if (!container || !asked || !engine.containers().unlink(*container, alias)) {
    co_return make_error(Code::not_found, "No such container: {}/{}", exchange.parameter("id"),
                         alias);
  }
  co_return co_await respond_status(exchange, 204);
}

asio::awaitable<Result<void>> resize(Engine& engine, http::Exchange& exchange) {
  const http::Query& query = exchange.request().query;
  LAB_CO_TRY(std::int64_t height, read_number(query, "h", Code::invalid_argument));
  LAB_CO_TRY(std::int64_t width, read_number(query, "w", Code::invalid_argument));
  LAB_CO_TRY(ContainerPtr container, find(engine, exchange));
  if (!container->state.running)
    co_return make_error(Code::conflict, "Container {} is not running", container->id);
  std::filesystem::path bundle = engine.containers().services().runtime.bundle(container->id);
  LAB_CO_CHECK(co_await container::resize_terminal(std::move(bundle), static_cast<int>(height),
                                                   static_cast<int>(width)));
  engine.containers().emit(
      *container, "resize",
      {{"height", fmt::format("{}", height)}, {"width", fmt::format("{}", width)}});
  co_return co_await respond_status(exchange, 200);
}

// Returns when what `condition` names has happened.
asio::awaitable<Result<void>> wait_exit(ContainerPtr container, std::string condition) {
  std::uint64_t exits = container->exits;
  for (;;) {
    const container::State& state = container->state;
    bool done = condition == "removed"     ? container->removed
                : condition == "next-exit" ? container->exits != exits || container->removed
                                           : !state.running || container->removed;
    if (done) co_return Result<void>();
    co_await container->changed.wait();
  }
}

asio::awaitable<Result<void>> wait(Engine& engine, http::Exchange& exchange) {
  // Before API 1.30 there was one condition, and no part of the answer came early.
  const bool early = !older_than(exchange, {1, 30});
  // As dockerd: a condition that it does not know is "not-running".
  std::string condition = early ? exchange.request().query.get("condition") : std::string();
  LAB_CO_TRY(ContainerPtr container, find(engine, exchange));
  LAB_CO_CHECK(co_await exchange.read_all());
  if (early) {
    // Clients start the container only when they have seen the head of this answer.
    http::Headers headers{{"Content-Type", "application/json"}};
    LAB_CO_CHECK(co_await exchange.start(200, std::move(headers)));
  }
  LAB_CO_CHECK(co_await until_client_gone(exchange, wait_exit(container, std::move(condition))));
  json::object answer{{"Error", nullptr}, {"StatusCode", container->state.exit_code}};
  if (!early) co_return co_await respond_json(exchange, 200, std::move(answer));
  const std::string text = json::serialize(answer) + "\n";
  LAB_CO_CHECK(co_await exchange.write(text));
  co_return co_await exchange.finish();
}

asio::awaitable<Result<void>> top(Engine& engine, http::Exchange& exchange) {
  LAB_CO_TRY(ContainerPtr container, find(engine, exchange));
  if (!container->state.running)
    co_return make_error(Code::conflict, "Container {} is not running", container->id);
  std::string arguments = exchange.request().query.get("ps_args", "-ef");
  std::string id = container->id;
  LAB_CO_TRY(json::object table, co_await run_blocking<Result<json::object>>([&id, &arguments] {
               return container::process_table(id, arguments);
             }));
  co_return co_await respond_json(exchange, 200, std::move(table));
}

std::map<std::string, std::string> labels_of(const container::Container& container) {
  std::map<std::string, std::string> labels;
  const json::object& given = object_of(container.config, "Labels");
  for (const auto& label : given) labels[label.key()] = text_of(given, label.key());
  return labels;
}

asio::awaitable<Result<void>> prune(Engine& engine, http::Exchange& exchange) {
  LAB_CO_TRY(FilterSet filters, FilterSet::parse(exchange.request().query.get("filters")));
  LAB_CO_CHECK(filters.check_names({"label", "label!", "until"}));
  LAB_CO_TRY(const std::int64_t until, until_of(filters, engine.clock()));
  json::array deleted;
  std::uint64_t reclaimed_bytes = 0;
  for (const ContainerPtr& container : engine.containers().list()) {
    if (container->state.running || container->state.restarting) continue;
    if (container->created_seconds > until) continue;
    const auto labels = labels_of(*container);
    const bool kept = filters.has("label!") && filters.match_labels("label!", labels);
    if (kept || !filters.match_labels("label", labels)) continue;
    LAB_CO_TRY(container::ContainerSizes sizes, co_await measured(engine, container));
    container::RemoveOptions how;
    Result<void> removed = co_await engine.containers().remove(container, how);
    if (!removed) continue;  // used or gone meanwhile
    reclaimed_bytes += sizes.writable_bytes;
    deleted.emplace_back(container->id);
  }
  json::value names = nullptr;
  if (!deleted.empty()) names = std::move(deleted);
  json::object answer{{"ContainersDeleted", std::move(names)}, {"SpaceReclaimed", reclaimed_bytes}};
  co_return co_await respond_json(exchange, 200, std::move(answer));
}

}  // namespace

void add_container_routes(http::Router& router, Engine& engine) {
  add_route(router, engine, "POST", "/containers/create", create);
  add_route(router, engine, "GET", "/containers/json", list);
  add_route(router, engine, "POST", "/containers/prune", prune);
  add_route(router, engine, "GET", "/containers/{id}/json", inspect);
  add_route(router, engine, "GET", "/containers/{id}/top", top);
  add_route(router, engine, "POST", "/containers/{id}/start", start);
  add_route(router, engine, "POST", "/containers/{id}/stop", stop);
  add_route(router, engine, "POST", "/containers/{id}/restart", restart);
  add_route(router, engine, "POST", "/containers/{id}/kill", kill);
  add_route(router, engine, "POST", "/containers/{id}/pause", pause);
  add_route(router, engine, "POST", "/containers/{id}/unpause", unpause);
  add_route(router, engine, "POST", "/containers/{id}/rename", rename);
  add_route(router, engine, "POST", "/containers/{id}/resize", resize);
  add_route(router, engine, "POST", "/containers/{id}/wait", wait);
  add_route(router, engine, "DELETE", "/containers/{id}", remove);
  add_route(router, engine, "DELETE", "/containers/{id}/{alias}", remove_link);
}

}  // namespace lab::engine::api
