#include "engine/api/web_socket.hpp"

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

namespace lab::engine::api {
namespace {

namespace asio = boost::asio;

// Gives what the client sent, and keeps what it gets.
class Connection final : public Stream {
 public:
  Connection(asio::any_io_executor executor, std::string bytes, std::string& answer)
      : executor_(std::move(executor)), bytes_(std::move(bytes)), answer_(answer) {}
  asio::awaitable<Result<std::size_t>> read_some(asio::mutable_buffer buffer) override {
    const std::size_t count = bytes_.copy(static_cast<char*>(buffer.data()), buffer.size());
    bytes_.erase(0, count);
    co_return count;
  }
  asio::awaitable<Result<void>> write(std::string_view bytes) override {
    answer_ += bytes;
    co_return Result<void>();
  }
  asio::awaitable<Result<void>> shutdown_write() override { co_return Result<void>(); }
  void close() override {}
  asio::any_io_executor executor() override { return executor_; }
  std::string peer_address() const override { return "test"; }

 private:
  asio::any_io_executor executor_;
  std::string bytes_;
  std::string& answer_;
};

std::string client_frame(int first, std::string_view data) {
  constexpr std::string_view mask = "\x11\x22\x33\x44";
  std::string frame{static_cast<char>(first), static_cast<char>(0x80 | data.size())};
  frame += mask;
  for (std::size_t i = 0; i < data.size(); ++i)
    frame += static_cast<char>(data[i] ^ mask[i % mask.size()]);
  return frame;
}

class WebSocket : public testing::Test {
 protected:
  asio::awaitable<void> drain(std::shared_ptr<Stream> socket) {
    std::string buffer(3, '\0');  // smaller than a message
    for (;;) {
      Result<std::size_t> got = co_await socket->read_some(asio::buffer(buffer));
      if (!got || *got == 0) co_return;
      received_ += buffer.substr(0, *got);
    }
  }

  asio::awaitable<void> say(std::shared_ptr<Stream> socket, std::string text) {
    EXPECT_TRUE(co_await socket->write(text));
    EXPECT_TRUE(co_await socket->shutdown_write());
    EXPECT_TRUE(co_await socket->shutdown_write());
  }

  std::shared_ptr<Stream> open(std::string sent, WebSocketPayload payload) {
    return make_web_socket(
        std::make_unique<Connection>(context_.get_executor(), std::move(sent), answer_), payload);
  }

  void run(asio::awaitable<void> work) {
    asio::co_spawn(context_, std::move(work), [](std::exception_ptr failure) {
      if (failure) std::rethrow_exception(failure);
    });
    context_.run();
  }

  void read(std::string sent) { run(drain(open(std::move(sent), WebSocketPayload::binary))); }

  asio::io_context context_;
  std::string received_;
  std::string answer_;
};

TEST_F(WebSocket, ReadsMessagesAndTheirFragmentsAsOneStream) {
  read(client_frame(0x82, "hello") + client_frame(0x01, ", ") + client_frame(0x80, "world") +
       client_frame(0x82, ""));
  EXPECT_EQ(received_, "hello, world");
  EXPECT_EQ(answer_, "");
}

TEST_F(WebSocket, AnswersAPingBetweenTwoFragments) {
  read(client_frame(0x02, "ab") + client_frame(0x89, "p") + client_frame(0x80, "cd"));
  EXPECT_EQ(received_, "abcd");
  EXPECT_EQ(answer_, "\x8a\x01p");
}

TEST_F(WebSocket, ReadsNothingAfterAClose) {
  read(client_frame(0x82, "a") + client_frame(0x88, "\x03\xe8") + client_frame(0x82, "b"));
  EXPECT_EQ(received_, "a");
}

TEST_F(WebSocket, ClosesOnWhatBreaksTheProtocol) {
  const std::string unmasked("\x82\x01x", 3);
  const std::string unknown = client_frame(0x83, "x");
  const std::string long_ping = client_frame(0x89, std::string(126, 'x'));
  for (const std::string& bad : {unmasked, unknown, long_ping}) {
    answer_.clear();
    context_.restart();
    read(bad + client_frame(0x82, "after"));
    EXPECT_EQ(received_, "");
    EXPECT_EQ(answer_, "\x88\x02\x03\xea");
  }
}

TEST_F(WebSocket, WritesOneMessageForEachWriteAndOneCloseFrame) {
  run(say(open("", WebSocketPayload::text), "hi"));
  EXPECT_EQ(answer_, "\x81\x02hi\x88\x02\x03\xe8");
}

TEST_F(WebSocket, WritesLengthsInTheirShortestForm) {
  run(say(open("", WebSocketPayload::binary), std::string(126, 'x')));
  EXPECT_EQ(answer_.substr(0, 4), std::string("\x82\x7e\0\x7e", 4));
  answer_.clear();
  context_.restart();
  run(say(open("", WebSocketPayload::binary), std::string(65536, 'x')));
  EXPECT_EQ(answer_.substr(0, 10), std::string("\x82\x7f\0\0\0\0\0\1\0\0", 10));
}

}  // namespace
}  // namespace lab::engine::api
