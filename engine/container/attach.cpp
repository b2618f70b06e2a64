#include "engine/container/attach.hpp"

#include <sys/socket.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cctype>

namespace lab::engine::container {

namespace asio = boost::asio;

namespace {

// The monitor's packets: one byte for the stream, then at most 8 KiB. What it reads at once is
// limited as well.
constexpr std::size_t packet_bytes_max = 64 << 10;
constexpr std::size_t input_bytes_max = 8 << 10;

}  // namespace

std::string stream_frame(int stream, std::string_view data) {
  std::string frame(8, '\0');
  frame[0] = static_cast<char>(stream);
  auto size = static_cast<std::uint32_t>(data.size());
  for (int i = 0; i < 4; ++i)
    frame[static_cast<std::size_t>(7 - i)] = static_cast<char>(size >> (8 * i) & 255);
  frame += data;
  return frame;
}

Result<DetachKeys> DetachKeys::parse(std::string_view text) {
  DetachKeys keys;
  if (text.empty()) return keys;
  keys.sequence_.clear();
  std::string_view left = text;
  while (!left.empty()) {
    std::size_t end = std::min(left.find(','), left.size());
    std::string_view key = left.substr(0, end);
    left.remove_prefix(std::min(end + 1, left.size()));
    if (key.size() == 1) {
      keys.sequence_ += key;
    } else if (key.size() == 6 && key.starts_with("ctrl-")) {
      const auto typed = static_cast<unsigned char>(key[5]);
      const char letter = static_cast<char>(std::toupper(typed));
      if (letter < '@' || letter > '_' || std::isupper(typed)) {
        return make_error(Code::invalid_argument, "Unknown character: '{}'", key);
      }
      keys.sequence_ += static_cast<char>(letter - '@');
    } else {
      return make_error(Code::invalid_argument, "Unknown character: '{}'", key);
    }
  }
  return keys;
}

std::string DetachKeys::filter(std::string_view typed, bool& detached) {
  std::string passed;
  for (char c : typed) {
    if (c == sequence_[matched_]) {
      if (++matched_ < sequence_.size()) continue;
      matched_ = 0;
      detached = true;
      return passed;
    }
    passed.append(sequence_, 0, matched_);
    matched_ = c == sequence_.front() ? 1 : 0;
    if (matched_ == 0) passed += c;
  }
  return passed;
}

void AttachSession::connected(Fd socket) {
  boost::system::error_code failure;
  socket_.assign(socket.get(), failure);
  if (failure) {
    abandon();
    return;
  }
  static_cast<void>(socket.release());
  changed_.notify_all();
}

void AttachSession::abandon() {
  abandoned_ = true;
  changed_.notify_all();
}

void AttachSession::end() {
  abandoned_ = true;
  boost::system::error_code ignored;
  socket_.close(ignored);
  changed_.notify_all();
}

asio::awaitable<bool> AttachSession::wait_connected() {
  while (!socket_.is_open() && !abandoned_) co_await changed_.wait();
  co_return socket_.is_open();
}

asio::awaitable<bool> AttachSession::send_input(std::string bytes) {
  std::string_view left = bytes;
  while (!left.empty()) {
    if (!socket_.is_open()) co_return false;
    auto [failure, sent] = co_await socket_.async_write_some(
        asio::buffer(left.data(), std::min(left.size(), input_bytes_max)),
        asio::as_tuple(asio::use_awaitable));
    if (failure) co_return false;
    left.remove_prefix(sent);
  }
  co_return true;
}

asio::awaitable<void> AttachSession::carry_input(std::shared_ptr<Stream> client) {
  std::string buffer(32 << 10, '\0');
  for (;;) {
    Result<std::size_t> got = co_await client->read_some(asio::buffer(buffer));
    if (!got) break;
    if (*got == 0) {  // the client has closed its half
      if (options_.standard_input && co_await wait_connected())
        shutdown(socket_.native_handle(), SHUT_WR);
      co_return;
    }
    if (!options_.standard_input) continue;
    std::string bytes = buffer.substr(0, *got);
    if (options_.terminal) bytes = options_.detach_keys.filter(bytes, detached_);
    if (!co_await wait_connected()) break;
    bool sent = co_await send_input(std::move(bytes));
    if (!sent) co_return;  // the process does not read any more; its output goes on
    if (detached_) break;
  }
  end();
}

asio::awaitable<void> AttachSession::carry_output(std::shared_ptr<Stream> client) {
  if (!co_await wait_connected()) co_return;
  std::string buffer(packet_bytes_max, '\0');
  while (socket_.is_open()) {
    auto [failure, got] =
        co_await socket_.async_read_some(asio::buffer(buffer), asio::as_tuple(asio::use_awaitable));
    if (failure || got < 1) break;
    int stream = buffer[0] == 3 ? standard_error : standard_output;
    if (stream == standard_error ? !options_.errors : !options_.output) continue;
    std::string_view data(buffer.data() + 1, got - 1);
    if (data.empty()) continue;
    std::string frame = options_.framed ? stream_frame(stream, data) : std::string(data);
    carried_ = true;
    Result<void> written = co_await client->write(frame);
    if (!written) break;
  }
}

asio::awaitable<bool> AttachSession::run(std::shared_ptr<Stream> client, Background& background) {
  auto input = [](std::shared_ptr<AttachSession> self,
                  std::shared_ptr<Stream> from) -> asio::awaitable<void> {
    co_await self->carry_input(std::move(from));
  };
  background.spawn("input of an attached client", input(shared_from_this(), client));
  co_await carry_output(client);
  end();
  co_return detached_;
}

asio::awaitable<std::string> AttachSession::collect(std::size_t bytes_max) {
  std::string output;
  if (!co_await wait_connected()) co_return output;
  std::string buffer(packet_bytes_max, '\0');
  for (;;) {
    auto [failure, got] =
        co_await socket_.async_read_some(asio::buffer(buffer), asio::as_tuple(asio::use_awaitable));
    if (failure || got < 1) break;
    output.append(buffer, 1, std::min(got - 1, bytes_max - output.size()));
  }
  end();
  co_return output;
}

asio::awaitable<void> close_client(std::shared_ptr<Stream> client) {
  static_cast<void>(co_await client->shutdown_write());
  client->close();
}

}  // namespace lab::engine::container
