// HEAD, GET and PUT /containers/ID/archive: `docker cp`.
#include <boost/json/serialize.hpp>

#include "base/blocking.hpp"
#include "base/digest.hpp"
#include "engine/api/archive_stream.hpp"
#include "engine/api/exchange.hpp"
#include "engine/api/routes.hpp"
#include "engine/container/file_copy.hpp"
#include "engine/container/file_view.hpp"
#include "engine/util/json.hpp"

namespace lab::engine::api {

namespace asio = boost::asio;

using container::ContainerPtr;

namespace {

// The container with its operation lock held, and the path asked for.
struct Target {
  ContainerPtr container;
  AsyncMutex::Lock lock;
  std::string path;
};

asio::awaitable<Result<Target>> find_target(Engine& engine, http::Exchange& exchange) {
  Target target;
  target.path = exchange.request().query.get("path");
  LAB_CO_TRY(target.container, engine.containers().find(exchange.parameter("id")));
  if (target.path.empty())
    co_return make_error(Code::invalid_argument, "bad parameter: pathcannot be empty");
  target.lock = co_await target.container->operation.lock();
  if (target.container->removed)
    co_return make_error(Code::not_found, "No such container: {}", target.container->id);
  co_return target;
}

Error explain(Error error, const http::Exchange& exchange, const std::string& path) {
  if (error.code != Code::not_found) return error;
  return make_error(Code::not_found, "Could not find the file {} in container {}", path,
                    exchange.parameter("id"));
}

asio::awaitable<Result<http::Headers>> stat_headers(Engine& engine, http::Exchange& exchange,
                                                    const Target& target) {
  container::PathStat status;
  const std::function<Result<void>()> look = [&engine, &target, &status] {
    return container::with_files(engine.containers(), *target.container,
                                 [&](layer::Tree& root) -> Result<void> {
                                   LAB_TRY(status, container::stat_path(root, target.path));
                                   return {};
                                 });
  };
  Result<void> looked = co_await run_blocking<Result<void>>(look);
  if (!looked) co_return explain(std::move(looked).error(), exchange, target.path);
  const std::string text = boost::json::serialize(container::to_json(status));
  http::Headers headers;
  headers.set("X-Docker-Container-Path-Stat", base64_encode(text));
  co_return headers;
}

asio::awaitable<Result<void>> look(Engine& engine, http::Exchange& exchange) {
  LAB_CO_TRY(Target target, co_await find_target(engine, exchange));
  http::Response response;
  LAB_CO_TRY(response.headers, co_await stat_headers(engine, exchange, target));
  co_return co_await exchange.respond(std::move(response));
}

asio::awaitable<Result<void>> read(Engine& engine, http::Exchange& exchange) {
  LAB_CO_TRY(Target target, co_await find_target(engine, exchange));
  LAB_CO_TRY(http::Headers headers, co_await stat_headers(engine, exchange, target));
  WriteArchive write = [&engine, &target](const layer::TarSink& sink) {
    return container::with_files(engine.containers(), *target.container, [&](layer::Tree& root) {
      return container::write_path(root, target.path, sink);
    });
  };
  LAB_CO_CHECK(
      co_await send_archive(exchange, engine.executor(), std::move(headers), std::move(write)));
  engine.containers().emit(*target.container, "archive-path");
  co_return Result<void>();
}

asio::awaitable<Result<void>> extract(Engine& engine, http::Exchange& exchange) {
  const http::Query& query = exchange.request().query;
  LAB_CO_TRY(Target target, co_await find_target(engine, exchange));
  container::ExtractOptions options;
  options.path = target.path;
  options.keep_kinds = query.flag("noOverwriteDirNonDir");
  options.as_user = query.flag("copyUIDGID");
  options.user = text_of(target.container->config, "User");
  options.read_only_root = flag_of(target.container->host_config, "ReadonlyRootfs");
  ReadArchive unpack = [&engine, &target, &options](layer::ByteSource& tar) {
    return container::with_files(engine.containers(), *target.container, [&](layer::Tree& root) {
      return container::extract(root, options, tar);
    });
  };
  Result<void> done = co_await receive_archive(exchange, engine.executor(), std::move(unpack));
  if (!done) co_return explain(std::move(done).error(), exchange, target.path);
  engine.containers().emit(*target.container, "extract-to-dir");
  co_return co_await respond_status(exchange, 200);
}

}  // namespace

void add_copy_routes(http::Router& router, Engine& engine) {
  add_route(router, engine, "HEAD", "/containers/{id}/archive", look);
  add_route(router, engine, "GET", "/containers/{id}/archive", read);
  add_route(router, engine, "PUT", "/containers/{id}/archive", extract);
}

}  // namespace lab::engine::api
