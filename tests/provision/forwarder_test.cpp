#include "provision/forward/forwarder.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

namespace lab::provision {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;

constexpr auto awaiting = asio::as_tuple(asio::use_awaitable);

tcp::endpoint loopback(std::uint16_t port) { return {asio::ip::address_v4::loopback(), port}; }

// A machine's port: reads to the end, then answers with what it read and a word.
class FakeService {
 public:
  explicit FakeService(asio::io_context& io) : io_(io), acceptor_(io, loopback(0)) {
    asio::co_spawn(io_, serve(), [](const std::exception_ptr&) {});
  }
  [[nodiscard]] std::uint16_t port() const { return acceptor_.local_endpoint().port(); }
  void close() { acceptor_.close(); }

 private:
  asio::awaitable<void> serve() {
    for (;;) {
      auto [error, socket] = co_await acceptor_.async_accept(awaiting);
      if (error) co_return;
      asio::co_spawn(io_, answer(std::move(socket)), [](const std::exception_ptr&) {});
    }
  }
  static asio::awaitable<void> answer(tcp::socket socket) {
    std::string text;
    co_await asio::async_read(socket, asio::dynamic_buffer(text), awaiting);
    text += " and an answer";
    co_await asio::async_write(socket, asio::buffer(text), awaiting);
  }

  asio::io_context& io_;
  tcp::acceptor acceptor_;
};

class ForwarderTest : public ::testing::Test {
 protected:
  ~ForwarderTest() override {
    forwarder_.stop();
    io_.restart();
    io_.poll();
  }
  static std::uint16_t free_port() {
    asio::io_context io;
    return tcp::acceptor(io, loopback(0)).local_endpoint().port();
  }
  // A request and the answer, or the error's message.
  asio::awaitable<std::string> ask(std::string request) {
    tcp::socket socket(io_);
    auto [refused] = co_await socket.async_connect(loopback(host_port_), awaiting);
    if (refused) co_return refused.message();
    co_await asio::async_write(socket, asio::buffer(request), awaiting);
    boost::system::error_code ignored;
    socket.shutdown(tcp::socket::shutdown_send, ignored);
    std::string text;
    auto [error, bytes] = co_await asio::async_read(socket, asio::dynamic_buffer(text), awaiting);
    co_return error == asio::error::eof ? text : error.message();
  }
  std::vector<std::string> ask_all(const std::vector<std::string>& requests) {
    std::vector<std::string> answers(requests.size());
    std::size_t open = requests.size();
    for (std::size_t i = 0; i < requests.size(); ++i) {
      asio::co_spawn(io_, ask(requests[i]), [&, i](const std::exception_ptr&, std::string answer) {
        answers[i] = std::move(answer);
        --open;
      });
    }
    io_.restart();
    while (open > 0 && io_.run_one_for(std::chrono::seconds(60)) > 0) {
    }
    return answers;
  }
  std::string ask_one(const std::string& request) { return ask_all({request}).front(); }

  asio::awaitable<Result<Forwarder::Way>> find_way() {
    ++asked_;
    if (service_port_ == 0) co_return make_error(Code::unavailable, "vm1 is not running");
    co_return Forwarder::Way{"127.0.0.1", service_port_};
  }

  asio::io_context io_;
  FakeService service_{io_};
  std::uint16_t service_port_ = service_.port();
  std::uint16_t host_port_ = free_port();
  int asked_ = 0;
  Forwarder forwarder_{io_.get_executor(), [this](const Forward&) { return find_way(); }};
};

TEST_F(ForwarderTest, TheEndOfTheRequestLeavesTheAnswerOpen) {
  ASSERT_TRUE(forwarder_.set({{host_port_, "vm1", 80}}));
  EXPECT_EQ(ask_one("a request"), "a request and an answer");
  const ForwardReport report = forwarder_.report().front();
  EXPECT_EQ(report.connections, 1U);
  EXPECT_EQ(report.bytes_in, 9U);
  EXPECT_EQ(report.bytes_out, 23U);
}

TEST_F(ForwarderTest, ManyConnectionsAtOnceAndTheWayIsAskedForOnce) {
  ASSERT_TRUE(forwarder_.set({{host_port_, "vm1", 80}}));
  std::vector<std::string> requests;
  for (int i = 0; i < 200; ++i) requests.push_back(fmt::format("{} {}", i, std::string(9999, 'x')));
  const std::vector<std::string> answers = ask_all(requests);
  for (std::size_t i = 0; i < requests.size(); ++i)
    ASSERT_EQ(answers[i], requests[i] + " and an answer");
  EXPECT_EQ(asked_, 1);
}

TEST_F(ForwarderTest, AMachineThatIsNotThereResetsTheConnectionAndIsSaid) {
  service_port_ = 0;
  ASSERT_TRUE(forwarder_.set({{host_port_, "vm1", 80}}));
  EXPECT_EQ(ask_one("x"), "Connection reset by peer");
  EXPECT_EQ(forwarder_.report().front().problem, "vm1 is not running");
}

TEST_F(ForwarderTest, AMachineThatStartedAnewIsFoundAgain) {
  ASSERT_TRUE(forwarder_.set({{host_port_, "vm1", 80}}));
  EXPECT_EQ(ask_one("x"), "x and an answer");
  service_.close();
  FakeService again(io_);
  service_port_ = again.port();
  EXPECT_EQ(ask_one("y"), "y and an answer");
  EXPECT_EQ(asked_, 2);
  again.close();
}

TEST_F(ForwarderTest, ATakenPortIsSaidAndChangesNothing) {
  ASSERT_TRUE(forwarder_.set({{host_port_, "vm1", 80}}));
  const auto refused = forwarder_.set({{free_port(), "vm1", 80}, {service_port_, "vm2", 443}});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::conflict);
  EXPECT_THAT(refused.error().message,
              testing::StartsWith(fmt::format("port {} of 127.0.0.1", service_port_)));
  EXPECT_EQ(forwarder_.report().size(), 1U);
  EXPECT_EQ(ask_one("x"), "x and an answer");
}

TEST_F(ForwarderTest, APortThatIsNoLongerForwardedIsFree) {
  ASSERT_TRUE(forwarder_.set({{host_port_, "vm1", 80}}));
  ASSERT_TRUE(forwarder_.set({}));
  EXPECT_EQ(ask_one("x"), "Connection refused");
}

}  // namespace
}  // namespace lab::provision
