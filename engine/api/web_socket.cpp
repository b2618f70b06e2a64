#include "engine/api/web_socket.hpp"

#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <boost/algorithm/string/predicate.hpp>
#include <span>
#include <utility>

#include "base/digest.hpp"
#include "engine/util/async.hpp"

namespace lab::engine::api {

namespace asio = boost::asio;

namespace {

// RFC 6455, section 5.2.
constexpr std::uint8_t last_fragment = 0x80;
constexpr std::uint8_t masked = 0x80;
constexpr std::uint8_t opcode_continuation = 0;
constexpr std::uint8_t opcode_binary = 2;
constexpr std::uint8_t opcode_close = 8;
constexpr std::uint8_t opcode_ping = 9;
constexpr std::uint8_t opcode_pong = 10;
constexpr std::size_t control_bytes_max = 125;
constexpr std::uint8_t length_of_16_bits = 126;
constexpr std::uint8_t length_of_64_bits = 127;
constexpr std::string_view status_normal("\x03\xe8", 2);
constexpr std::string_view status_protocol_error("\x03\xea", 2);

std::string frame_of(std::uint8_t opcode, std::string_view data) {
  std::string frame(1, static_cast<char>(last_fragment | opcode));
  std::size_t length_bytes = 0;
  if (data.size() <= control_bytes_max) {
    frame += static_cast<char>(data.size());
  } else if (data.size() <= 0xffff) {
    frame += static_cast<char>(length_of_16_bits);
    length_bytes = 2;
  } else {
    frame += static_cast<char>(length_of_64_bits);
    length_bytes = 8;
  }
  for (std::size_t i = length_bytes; i-- > 0;)
    frame += static_cast<char>(std::uint64_t{data.size()} >> (8 * i) & 255);
  frame += data;
  return frame;
}

class WebSocketStream final : public Stream {
 public:
  WebSocketStream(StreamPtr connection, WebSocketPayload payload)
      : connection_(std::move(connection)), payload_(payload), sent_(connection_->executor()) {}

  asio::awaitable<Result<std::size_t>> read_some(asio::mutable_buffer buffer) override {
    while (left_ == 0) {
      LAB_CO_TRY(const bool more, co_await read_frame());
      if (!more) co_return std::size_t{0};
    }
    const std::size_t wanted =
        static_cast<std::size_t>(std::min<std::uint64_t>(buffer.size(), left_));
    LAB_CO_TRY(const std::size_t got,
               co_await connection_->read_some(asio::buffer(buffer, wanted)));
    unmask({static_cast<char*>(buffer.data()), got});
    left_ -= got;
    co_return got;
  }

  asio::awaitable<Result<void>> write(std::string_view bytes) override {
    return send(static_cast<std::uint8_t>(payload_), std::string(bytes));
  }

  asio::awaitable<Result<void>> shutdown_write() override {
    LAB_CO_CHECK(co_await close_with(std::string(status_normal)));
    co_return co_await connection_->shutdown_write();
  }

  void close() override {
    closed_ = true;
    connection_->close();
    sent_.notify_all();
  }

  asio::any_io_executor executor() override { return connection_->executor(); }
  std::string peer_address() const override { return connection_->peer_address(); }
  std::string peer_certificate_pem() const override { return connection_->peer_certificate_pem(); }
  int native_handle() override { return connection_->native_handle(); }

 private:
  // Reads the head of the next frame with data into left_ and mask_, and whole control frames
  // before it. False at the end of what the client sends.
  asio::awaitable<Result<bool>> read_frame() {
    LAB_CO_TRY(const std::string head, co_await read_exactly(*connection_, 2));
    const auto opcode = static_cast<std::uint8_t>(head[0] & 0x0f);
    const bool control = opcode >= opcode_close;
    LAB_CO_TRY(left_, co_await read_length(static_cast<std::uint8_t>(head[1] & 0x7f)));
    const bool known = control ? opcode <= opcode_pong && left_ <= control_bytes_max
                               : opcode >= opcode_continuation && opcode <= opcode_binary;
    if (!known || !(head[1] & masked)) {
      LAB_CO_CHECK(co_await close_with(std::string(status_protocol_error)));
      co_return false;
    }
    LAB_CO_TRY(const std::string mask, co_await read_exactly(*connection_, mask_.size()));
    std::copy(mask.begin(), mask.end(), mask_.begin());
    mask_at_ = 0;
    if (!control) co_return true;
    LAB_CO_TRY(std::string data, co_await read_exactly(*connection_, left_));
    left_ = 0;
    if (opcode == opcode_close) co_return false;
    unmask(data);
    if (opcode == opcode_ping) LAB_CO_CHECK(co_await send(opcode_pong, std::move(data)));
    co_return true;
  }

  asio::awaitable<Result<std::uint64_t>> read_length(std::uint8_t first) {
    if (first < length_of_16_bits) co_return first;
    LAB_CO_TRY(const std::string bytes,
               co_await read_exactly(*connection_, first == length_of_16_bits ? 2 : 8));
    std::uint64_t length = 0;
    for (char byte : bytes) length = length << 8 | static_cast<std::uint8_t>(byte);
    co_return length;
  }

  void unmask(std::span<char> data) {
    for (char& byte : data) byte = static_cast<char>(byte ^ mask_[mask_at_++ % mask_.size()]);
  }

  // Output and the answers to pings come from different coroutines: a frame is never inside
  // another.
  asio::awaitable<Result<void>> send(std::uint8_t opcode, std::string data) {
    while (sending_ && !closed_) co_await sent_.wait();
    if (closed_) co_return make_error(Code::cancelled, "the WebSocket is closed");
    sending_ = true;
    const std::string frame = frame_of(opcode, data);
    Result<void> written = co_await connection_->write(frame);
    sending_ = false;
    sent_.notify_all();
    co_return written;
  }

  asio::awaitable<Result<void>> close_with(std::string status) {
    if (std::exchange(ended_, true)) co_return Result<void>();
    co_return co_await send(opcode_close, std::move(status));
  }

  StreamPtr connection_;
  WebSocketPayload payload_;
  Signal sent_;
  bool sending_ = false;
  bool ended_ = false;
  bool closed_ = false;
  std::uint64_t left_ = 0;  // of the frame that is being read
  std::array<char, 4> mask_{};
  std::size_t mask_at_ = 0;
};

// Why a request is no handshake, in the words that dockerd's library has; empty if it is one.
std::string_view handshake_fault(const http::Headers& headers) {
  if (!boost::iequals(headers.get("Upgrade"), "websocket") ||
      !boost::icontains(headers.get("Connection"), "upgrade"))
    return "not websocket protocol";
  if (headers.get("Sec-WebSocket-Key").empty()) return "mismatch challenge/response";
  if (headers.get("Sec-WebSocket-Version") != "13") return "missing or bad WebSocket Version";
  return {};
}

std::string accept_value(std::string_view key) {
  const std::string text = std::string(key) + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned size = 0;
  EVP_Digest(text.data(), text.size(), digest.data(), &size, EVP_sha1(), nullptr);
  return base64_encode({reinterpret_cast<const char*>(digest.data()), size});
}

}  // namespace

std::shared_ptr<Stream> make_web_socket(StreamPtr connection, WebSocketPayload payload) {
  return std::make_shared<WebSocketStream>(std::move(connection), payload);
}

asio::awaitable<Result<std::shared_ptr<Stream>>> hijack_web_socket(http::Exchange& exchange,
                                                                   WebSocketPayload payload) {
  const http::Headers& request = exchange.request().headers;
  if (const std::string_view fault = handshake_fault(request); !fault.empty()) {
    http::Response refusal;
    refusal.status = 400;
    refusal.body = fault;
    LAB_CO_CHECK(co_await exchange.respond(std::move(refusal)));
    co_return make_error(Code::invalid_argument, "{}", fault);
  }
  http::Headers headers{{"Upgrade", "websocket"}, {"Connection", "Upgrade"}};
  headers.set("Sec-WebSocket-Accept", accept_value(request.get("Sec-WebSocket-Key")));
  const std::string_view protocol = request.get("Sec-WebSocket-Protocol");
  if (!protocol.empty() && protocol.find(',') == std::string_view::npos)
    headers.set("Sec-WebSocket-Protocol", std::string(protocol));
  LAB_CO_TRY(StreamPtr connection, co_await exchange.hijack(101, std::move(headers)));
  co_return make_web_socket(std::move(connection), payload);
}

}  // namespace lab::engine::api
