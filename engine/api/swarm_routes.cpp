#include "base/http_client.hpp"
#include "engine/api/exchange.hpp"
#include "engine/api/routes.hpp"
#include "engine/util/json.hpp"

namespace lab::engine::api {

namespace asio = boost::asio;
namespace json = boost::json;

namespace {

constexpr std::chrono::milliseconds info_timeout{3'000};
// `swarm join` waits for a manager, `service logs` for its first line.
constexpr std::chrono::milliseconds forward_timeout{300'000};

http::Endpoint swarm_endpoint(Engine& engine) {
  http::Endpoint endpoint;
  endpoint.unix_path = engine.config().swarm_socket.string();
  return endpoint;
}

// Connection-bound headers stay on their connection.
bool is_end_to_end(std::string_view name) {
  for (std::string_view other : {"Connection", "Host", "Transfer-Encoding", "Keep-Alive", "Upgrade",
                                 "Expect", "Content-Length"}) {
    if (name.size() == other.size() &&
        std::equal(name.begin(), name.end(), other.begin(), [](unsigned char a, unsigned char b) {
          return std::tolower(a) == std::tolower(b);
        }))
      return false;
  }
  return true;
}

Error unreachable(Engine& engine, const Error& error) {
  // Without an agent on this machine, it is as dockerd out of a swarm.
  std::error_code ignored;
  if (!std::filesystem::exists(engine.config().swarm_socket, ignored)) {
    return make_error(Code::unavailable,
                      "This node is not a swarm manager. Use \"docker swarm init\" or \"docker "
                      "swarm join\" to connect this node to swarm and try again.");
  }
  return make_error(Code::unavailable, "the swarm agent of this node does not answer on {}: {}",
                    engine.config().swarm_socket.string(), error.message);
}

asio::awaitable<Result<void>> copy_answer(http::Exchange& exchange,
                                          http::ClientResponse& response) {
  http::Headers headers;
  for (const auto& [name, value] : response.headers().fields()) {
    if (is_end_to_end(name)) headers.add(name, value);
  }
  std::string length(response.headers().get("Content-Length"));
  if (!length.empty()) headers.set("Content-Length", length);
  LAB_CO_CHECK(co_await exchange.start(response.status(), std::move(headers)));
  std::string buffer(64 << 10, '\0');
  for (;;) {
    LAB_CO_TRY(std::size_t got, co_await response.read_some(asio::buffer(buffer)));
    if (got == 0) break;
    LAB_CO_CHECK(co_await exchange.write(std::string_view(buffer.data(), got)));
  }
  co_return co_await exchange.finish();
}

asio::awaitable<Result<void>> forward(Engine& engine, http::Exchange& exchange) {
  http::ClientRequest request;
  request.method = exchange.request().method;
  request.target = exchange.request().target;
  for (const auto& [name, value] : exchange.request().headers.fields()) {
    if (is_end_to_end(name)) request.headers.add(name, value);
  }
  LAB_CO_TRY(request.body, co_await exchange.read_all());
  request.timeout = forward_timeout;
  http::Client client(engine.executor(), swarm_endpoint(engine));
  auto response = co_await client.send(std::move(request));
  if (!response) co_return unreachable(engine, response.error());
  co_return co_await until_client_gone(exchange, copy_answer(exchange, **response));
}

}  // namespace

asio::awaitable<json::object> swarm_info(Engine& engine) {
  json::object inactive{{"NodeID", ""},
                        {"NodeAddr", ""},
                        {"LocalNodeState", "inactive"},
                        {"ControlAvailable", false},
                        {"Error", ""},
                        {"RemoteManagers", nullptr}};
  http::ClientRequest request;
  request.target = "/info";
  request.timeout = info_timeout;
  http::Client client(engine.executor(), swarm_endpoint(engine));
  Result<http::Response> response = co_await client.fetch(std::move(request));
  if (!response || response->status != 200) co_return inactive;
  Result<json::object> document = parse_object(response->body);
  co_return document ? std::move(*document) : inactive;
}

void add_swarm_routes(http::Router& router, Engine& engine) {
  for (const char* collection : {"swarm", "nodes", "services", "tasks", "secrets", "configs"}) {
    for (const char* method : {"GET", "POST", "DELETE", "PUT", "HEAD"}) {
      add_route(router, engine, method, fmt::format("/{}", collection), forward);
      add_route(router, engine, method, fmt::format("/{}/{{rest...}}", collection), forward);
    }
  }
}

}  // namespace lab::engine::api
