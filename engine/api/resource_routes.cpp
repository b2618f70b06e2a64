// GET /containers/ID/stats and POST /containers/ID/update.
#include <boost/json/serialize.hpp>

#include "base/blocking.hpp"
#include "engine/api/exchange.hpp"
#include "engine/api/routes.hpp"
#include "engine/api/version.hpp"
#include "engine/container/limits.hpp"
#include "engine/container/stats.hpp"
#include "engine/util/json.hpp"

namespace lab::engine::api {

namespace asio = boost::asio;
namespace json = boost::json;

using container::ContainerPtr;

namespace {

constexpr std::chrono::seconds sample_interval{1};

asio::awaitable<json::object> sample(Engine& engine, ContainerPtr container,
                                     json::object previous) {
  const pid_t pid = container->state.process.pid;
  const container::HostFeatures& host = engine.containers().host();
  const bool networks = container->network_mode() != "host";
  const WallTime now = engine.clock().wall_now();
  json::object document = container::empty_stats_document();
  if (container->state.running) {
    const std::function<json::object()> read = [&] {
      return container::stats_document(
          container::stats_source(pid, host.cgroup_v2, networks, host.cpus), now, previous);
    };
    document = co_await run_blocking<json::object>(read);
  }
  document["name"] = "/" + container->name;
  document["id"] = container->id;
  co_return document;
}

// Until the next sample is due; earlier when the container has been removed.
asio::awaitable<void> wait_interval(Engine& engine, ContainerPtr container) {
  const TimePoint deadline = engine.clock().now() + sample_interval;
  while (!container->removed && engine.clock().now() < deadline)
    co_await container->changed.wait_until(deadline);
}

asio::awaitable<Result<void>> send_samples(Engine& engine, http::Exchange& exchange,
                                           ContainerPtr container) {
  json::object last;
  while (!container->removed) {
    last = co_await sample(engine, container, std::move(last));
    const std::string line = json::serialize(last) + "\n";
    LAB_CO_CHECK(co_await exchange.write(line));
    co_await wait_interval(engine, container);
  }
  co_return Result<void>();
}

asio::awaitable<Result<void>> stats(Engine& engine, http::Exchange& exchange) {
  LAB_CO_TRY(ContainerPtr container, engine.containers().find(exchange.parameter("id")));
  const http::Query& query = exchange.request().query;
  const bool streams = !query.has("stream") || query.flag("stream");
  if (!streams) {
    // Two samples, so that the client can tell how much was used between them.
    json::object last;
    last = co_await sample(engine, container, std::move(last));
    if (container->state.running && !query.flag("one-shot")) {
      co_await wait_interval(engine, container);
      last = co_await sample(engine, container, std::move(last));
    }
    co_return co_await respond_json(exchange, 200, std::move(last));
  }
  LAB_CO_CHECK(co_await exchange.read_all());
  http::Headers headers{{"Content-Type", "application/json"}};
  LAB_CO_CHECK(co_await exchange.start(200, std::move(headers)));
  LAB_CO_CHECK(co_await until_client_gone(exchange, send_samples(engine, exchange, container)));
  co_return co_await exchange.finish();
}

asio::awaitable<Result<void>> update(Engine& engine, http::Exchange& exchange) {
  LAB_CO_TRY(json::object body, co_await read_body(exchange, "container.UpdateConfig"));
  if (older_than(exchange, {1, 40})) body.erase("PidsLimit");
  LAB_CO_TRY(ContainerPtr container, engine.containers().find(exchange.parameter("id")));
  LAB_CO_TRY(const std::vector<std::string> warnings, container::check_limits(body, true));
  LAB_CO_CHECK(co_await engine.containers().update(container, std::move(body)));
  json::object answer{{"Warnings", nullptr}};
  if (!warnings.empty()) answer["Warnings"] = to_array(warnings);
  co_return co_await respond_json(exchange, 200, std::move(answer));
}

}  // namespace

void add_resource_routes(http::Router& router, Engine& engine) {
  add_route(router, engine, "GET", "/containers/{id}/stats", stats);
  add_route(router, engine, "POST", "/containers/{id}/update", update);
}

}  // namespace lab::engine::api
