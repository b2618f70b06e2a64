#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>

#include "base/file.hpp"
#include "base/http_server.hpp"
#include "base/random.hpp"

namespace lab::http {
namespace {

namespace asio = boost::asio;

asio::awaitable<Result<void>> read_everything(Exchange& exchange) {
  LAB_CO_TRY(std::string body, co_await exchange.read_all());
  Response response;
  response.body = std::move(body);
  co_return co_await exchange.respond(std::move(response));
}

// Sends the bytes, half-closes, and gives what came back until the server closed.
asio::awaitable<std::string> talk(std::string path, std::string bytes) {
  auto stream = co_await connect_unix(path);
  if (!stream) co_return "no connection";
  auto sent = co_await (*stream)->write(bytes);
  auto half = co_await (*stream)->shutdown_write();
  std::string answer;
  char buffer[4096];
  for (;;) {
    auto got = co_await (*stream)->read_some(asio::buffer(buffer));
    if (!got || *got == 0) co_return answer;
    answer.append(buffer, *got);
  }
}

std::string answer_to(std::string bytes) {
  asio::io_context loop(1);
  TemporaryDirectory directory;
  std::string path = directory.path() / "s";
  Server server(loop.get_executor(), read_everything);
  EXPECT_TRUE(server.listen_unix(path, 0600));
  std::string answer;
  asio::co_spawn(loop, talk(path, std::move(bytes)),
                 [&](std::exception_ptr exception, std::string got) {
                   EXPECT_FALSE(exception);
                   answer = std::move(got);
                   server.stop();
                 });
  loop.run_for(std::chrono::seconds(10));
  EXPECT_TRUE(loop.stopped()) << "the server kept a broken connection";
  return answer;
}

TEST(HttpBadInput, GarbageIsRefusedWith400) {
  EXPECT_TRUE(answer_to("\x16\x03\x01 this is no HTTP\r\n\r\n").starts_with("HTTP/1.1 400"));
}

TEST(HttpBadInput, ContradictingLengthsAreRefused) {
  EXPECT_TRUE(
      answer_to("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 5\r\n\r\nabcde")
          .starts_with("HTTP/1.1 400"));
}

TEST(HttpBadInput, EndlessHeaderIsRefused) {
  EXPECT_TRUE(
      answer_to("GET / HTTP/1.1\r\nX: " + std::string(1 << 20, 'a')).starts_with("HTTP/1.1 400"));
}

TEST(HttpBadInput, BrokenChunkIsAnErrorNotAHang) {
  EXPECT_TRUE(answer_to("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc")
                  .starts_with("HTTP/1.1 400"));
}

TEST(HttpBadInput, MutatedRequestsNeverCrashTheServer) {
  const std::string good =
      "POST /v1.41/containers/create?name=x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: "
      "chunked\r\n\r\n"
      "5\r\nhello\r\n0\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n";
  Random random(20261124);
  for (int round = 0; round < 300; ++round) {
    std::string bytes = good;
    for (std::uint64_t change = random.below(6) + 1; change > 0; --change) {
      std::size_t at = random.below(bytes.size());
      if (random.chance(0.3)) {
        bytes.erase(at, random.below(10) + 1);
      } else {
        bytes[at] = static_cast<char>(random.below(256));
      }
      if (bytes.empty()) break;
    }
    answer_to(bytes);
  }
}

}  // namespace
}  // namespace lab::http
