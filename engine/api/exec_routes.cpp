#include "engine/api/exchange.hpp"
#include "engine/api/routes.hpp"
#include "engine/util/json.hpp"

namespace lab::engine::api {

namespace asio = boost::asio;
namespace json = boost::json;

using container::ContainerPtr;
using container::ExecPtr;

namespace {

asio::awaitable<Result<void>> create(Engine& engine, http::Exchange& exchange) {
  LAB_CO_TRY(json::object body,
             co_await read_body(exchange, "types.ExecConfig", Code::invalid_argument));
  LAB_CO_TRY(ContainerPtr container, engine.containers().find(exchange.parameter("id")));
  if (container->state.running && container->state.paused) {
    co_return make_error(Code::conflict,
                         "Container {} is paused, unpause the container before exec",
                         exchange.parameter("id"));
  }
  LAB_CO_TRY(ExecPtr exec, engine.execs().create(container, body));
  json::object answer{{"Id", exec->id}};
  co_return co_await respond_json(exchange, 201, std::move(answer));
}

asio::awaitable<Result<void>> start_attached(Engine& engine, http::Exchange& exchange, ExecPtr exec,
                                             bool terminal) {
  container::AttachOptions options;
  options.standard_input = exec->standard_input;
  options.output = exec->output;
  options.errors = exec->errors;
  options.terminal = terminal;
  options.framed = !terminal;
  LAB_CO_TRY(options.detach_keys, container::DetachKeys::parse(exec->detach_keys));
  LAB_CO_TRY(std::shared_ptr<Stream> client, co_await hijack_raw(exchange));
  auto session = std::make_shared<container::AttachSession>(engine.executor(), options);
  Result<void> started = co_await engine.execs().start(exec, session, terminal);
  if (!started) {
    // The answer's head is out: the client shows what comes on the stream.
    std::string text = started.error().message + "\r\n";
    std::string bytes = terminal ? text : container::stream_frame(container::standard_output, text);
    static_cast<void>(co_await client->write(bytes));
    co_await container::close_client(client);
    co_return Result<void>();
  }
  bool detached = co_await session->run(client, engine.execs().background());
  // Clients ask for the exit status as soon as the stream has ended.
  while (!detached && exec->running) co_await exec->changed.wait();
  co_await container::close_client(client);
  if (detached) engine.containers().emit(*exec->container, "exec_detach", {{"execID", exec->id}});
  co_return Result<void>();
}

asio::awaitable<Result<void>> start(Engine& engine, http::Exchange& exchange) {
  LAB_CO_TRY(json::object body,
             co_await read_body(exchange, "types.ExecStartCheck", Code::invalid_argument));
  LAB_CO_TRY(ExecPtr exec, engine.execs().find(exchange.parameter("id")));
  bool terminal = flag_of(body, "Tty");
  if (flag_of(body, "Detach")) {
    LAB_CO_CHECK(co_await engine.execs().start(exec, nullptr, terminal));
    co_return co_await respond_status(exchange, 200);
  }
  co_return co_await start_attached(engine, exchange, exec, terminal);
}

asio::awaitable<Result<void>> inspect(Engine& engine, http::Exchange& exchange) {
  LAB_CO_TRY(ExecPtr exec, engine.execs().find(exchange.parameter("id")));
  co_return co_await respond_json(exchange, 200, engine.execs().inspect(*exec));
}

asio::awaitable<Result<void>> resize(Engine& engine, http::Exchange& exchange) {
  const http::Query& query = exchange.request().query;
  LAB_CO_TRY(std::int64_t height, read_number(query, "h", Code::invalid_argument));
  LAB_CO_TRY(std::int64_t width, read_number(query, "w", Code::invalid_argument));
  LAB_CO_TRY(ExecPtr exec, engine.execs().find(exchange.parameter("id")));
  LAB_CO_CHECK(
      co_await engine.execs().resize(exec, static_cast<int>(height), static_cast<int>(width)));
  co_return co_await respond_status(exchange, 200);
}

}  // namespace

void add_exec_routes(http::Router& router, Engine& engine) {
  add_route(router, engine, "POST", "/containers/{id}/exec", create);
  add_route(router, engine, "POST", "/exec/{id}/start", start);
  add_route(router, engine, "POST", "/exec/{id}/resize", resize);
  add_route(router, engine, "GET", "/exec/{id}/json", inspect);
}

}  // namespace lab::engine::api
