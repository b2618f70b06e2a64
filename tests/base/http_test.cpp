#include "base/http.hpp"

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include "base/file.hpp"
#include "base/http_client.hpp"
#include "base/http_server.hpp"

namespace lab::http {
namespace {

namespace asio = boost::asio;

asio::awaitable<Result<void>> echo(Exchange& exchange) {
  LAB_CO_TRY(std::string body, co_await exchange.read_all());
  Response response;
  response.headers.set("X-Id", exchange.parameter("id"));
  response.headers.set("X-Version", exchange.parameter("version"));
  response.body = exchange.request().method + " " + body;
  co_return co_await exchange.respond(std::move(response));
}

asio::awaitable<Result<void>> fail(Exchange&) {
  co_return make_error(Code::conflict, "it is taken");
}

asio::awaitable<Result<void>> stream_pieces(Exchange& exchange) {
  LAB_CO_CHECK(co_await exchange.start(200, {}));
  for (int i = 0; i < 3; ++i) {
    std::string piece = fmt::format("piece {}\n", i);
    LAB_CO_CHECK(co_await exchange.write(piece));
  }
  co_return co_await exchange.finish();
}

// Answers while it watches whether the client is still there, as long streams do.
asio::awaitable<Result<void>> watched(Exchange& exchange) {
  using namespace asio::experimental::awaitable_operators;
  std::variant<Result<void>, std::monostate> first =
      co_await (stream_pieces(exchange) || exchange.client_gone());
  if (first.index() == 0) co_return std::get<0>(std::move(first));
  co_return make_error(Code::cancelled, "the client has gone");
}

asio::awaitable<Result<void>> take_over(Exchange& exchange) {
  Headers upgrade{{"Connection", "Upgrade"}, {"Upgrade", "tcp"}};
  LAB_CO_TRY(StreamPtr stream, co_await exchange.hijack(101, std::move(upgrade)));
  LAB_CO_TRY(std::string said, co_await read_exactly(*stream, 5));
  std::string reply = "you said " + said;
  co_return co_await stream->write(reply);
}

Router make_router() {
  Router router(true);
  router.add("POST", "/things/{id}", echo);
  router.add("PUT", "/things/{id}", echo);
  router.add("GET", "/images/{id...}/json", echo);
  router.add("GET", "/fail", fail);
  router.add("GET", "/stream", stream_pieces);
  router.add("GET", "/watched", watched);
  router.add("POST", "/attach", take_over);
  return router;
}

// A server on a Unix socket and one coroutine that talks to it.
void with_server(std::function<asio::awaitable<void>(Client&)> talk) {
  asio::io_context loop(1);
  TemporaryDirectory directory;
  std::string path = directory.path() / "http.sock";
  Router router = make_router();
  Server server(loop.get_executor(), [&router](Exchange& exchange) { return router(exchange); });
  ASSERT_TRUE(server.listen_unix(path, 0600));
  Endpoint endpoint;
  endpoint.unix_path = path;
  Client client(loop.get_executor(), endpoint);
  asio::co_spawn(loop, talk(client), [&](std::exception_ptr exception) {
    server.stop();
    client = Client(loop.get_executor(), endpoint);
    if (exception) std::rethrow_exception(exception);
  });
  loop.run_for(std::chrono::seconds(20));
  EXPECT_TRUE(loop.stopped()) << "the exchange did not end";
}

ClientRequest request_of(std::string method, std::string target, std::string body = {}) {
  ClientRequest request;
  request.method = std::move(method);
  request.target = std::move(target);
  request.body = std::move(body);
  return request;
}

asio::awaitable<void> check_routes(Client& client) {
  auto posted = co_await client.fetch(request_of("POST", "/v1.41/things/a%2Db?x=1", "hello"));
  EXPECT_EQ(posted.value().body, "POST hello");
  EXPECT_EQ(posted->headers.get("x-id"), "a-b");
  EXPECT_EQ(posted->headers.get("x-version"), "1.41");
  auto image = co_await client.fetch(request_of("GET", "/images/host:5000/a/b/json"));
  EXPECT_EQ(image.value().headers.get("X-Id"), "host:5000/a/b");
  auto failed = co_await client.fetch(request_of("GET", "/fail"));
  EXPECT_EQ(failed.value().status, 409);
  EXPECT_EQ(failed->body, "{\"message\":\"it is taken\"}\n");
  auto missing = co_await client.fetch(request_of("GET", "/nothing"));
  EXPECT_EQ(missing.value().status, 404);
  auto streamed = co_await client.fetch(request_of("GET", "/stream"));
  EXPECT_EQ(streamed.value().body, "piece 0\npiece 1\npiece 2\n");
}

TEST(Http, RoutesErrorsAndStreamsOverOneConnection) { with_server(check_routes); }

asio::awaitable<Result<std::string>> three_pieces(std::shared_ptr<int> left) {
  co_return (*left)-- > 0 ? std::string(100'000, 'x') : std::string();
}

asio::awaitable<void> check_upload(Client& client) {
  ClientRequest request = request_of("PUT", "/things/1");
  auto left = std::make_shared<int>(3);
  request.source = [left] { return three_pieces(left); };
  auto response = co_await client.fetch(std::move(request));
  EXPECT_EQ(response.value().body.size(), 4 + 300'000U);
}

TEST(Http, ChunkedUploadArrivesWhole) { with_server(check_upload); }

asio::awaitable<void> check_hijack(Client& client) {
  auto response = co_await client.send(request_of("POST", "/attach"));
  EXPECT_EQ(response.value()->status(), 101);
  StreamPtr stream = (*response)->take_stream();
  EXPECT_TRUE(co_await stream->write("hello"));
  auto answer = co_await read_exactly(*stream, 14);
  EXPECT_EQ(answer.value(), "you said hello");
}

TEST(Http, HijackedConnectionCarriesBytesBothWays) { with_server(check_hijack); }

// Docker's client does not send a POST again when the server closes a kept-alive connection under
// it.
TEST(Http, AConnectionWhoseClientWasWatchedServesTheNextRequest) {
  asio::io_context loop(1);
  TemporaryDirectory directory;
  const std::string path = directory.path() / "http.sock";
  Router router = make_router();
  Server server(loop.get_executor(), [&router](Exchange& exchange) { return router(exchange); });
  ASSERT_TRUE(server.listen_unix(path, 0600));
  const auto talk = [](std::string socket) -> asio::awaitable<int> {
    StreamPtr stream = (co_await connect_unix(std::move(socket))).value();
    int answers = 0;
    for (; answers < 3; ++answers) {
      const Result<void> sent = co_await stream->write("GET /watched HTTP/1.1\r\nHost: x\r\n\r\n");
      if (!sent) break;
      std::string answer;
      while (answer.find("\r\n0\r\n\r\n") == std::string::npos) {
        char buffer[1024];
        const Result<std::size_t> got = co_await stream->read_some(asio::buffer(buffer));
        if (!got || *got == 0) co_return answers;
        answer.append(buffer, *got);
      }
    }
    co_return answers;
  };
  int answered = 0;
  asio::co_spawn(loop, talk(path), [&](std::exception_ptr exception, int answers) {
    server.stop();
    if (exception) std::rethrow_exception(exception);
    answered = answers;
  });
  loop.run_for(std::chrono::seconds(20));
  EXPECT_EQ(answered, 3);
}

TEST(Http, QueryIsDecodedAndBooleansAreDockers) {
  Query query("all=1&name=a%20b+c&flag=false&flag2&n=12&bad=1x");
  EXPECT_TRUE(query.flag("all"));
  EXPECT_FALSE(query.flag("flag"));
  EXPECT_FALSE(query.flag("flag2"));
  EXPECT_FALSE(query.flag("absent"));
  EXPECT_EQ(query.get("name"), "a b c");
  EXPECT_EQ(query.integer("n", 0).value(), 12);
  EXPECT_EQ(query.integer("absent", 7).value(), 7);
  EXPECT_FALSE(query.integer("bad", 0));
}

TEST(Http, TruncatedPercentEncodingStaysAsItIs) {
  EXPECT_EQ(url_decode("%41%4", false), "A%4");
  EXPECT_EQ(url_decode("%zz", false), "%zz");
  EXPECT_EQ(url_encode("a b/c"), "a%20b%2Fc");
}

}  // namespace
}  // namespace lab::http
