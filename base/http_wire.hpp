// HTTP/1.1 on a Stream, for http_server.cpp and http_client.cpp: Beast's parser fed by hand. Not
// for other folders.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/beast/http/buffer_body.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/parser.hpp>
#include <string>

#include "base/http.hpp"
#include "base/stream.hpp"

namespace lab::http {

inline constexpr std::size_t header_bytes_max = std::size_t{256} << 10;

// A connection: the stream and the bytes that were read from it but belong to what comes next.
struct Wire {
  StreamPtr stream;
  std::string unread;

  // Appends at least one byte to `unread`; false at the end of the stream.
  boost::asio::awaitable<Result<bool>> read_more() {
    std::size_t before = unread.size();
    unread.resize(before + 65536);
    auto got = co_await stream->read_some(boost::asio::buffer(unread.data() + before, 65536));
    unread.resize(before + (got ? *got : 0));
    if (!got) co_return got.error();
    co_return *got > 0;
  }
};

// One message, read piece by piece.
template <bool is_request>
class MessageReader {
 public:
  using Parser = boost::beast::http::parser<is_request, boost::beast::http::buffer_body>;

  explicit MessageReader(Wire& wire) : wire_(wire) {
    parser_.header_limit(header_bytes_max);
    parser_.body_limit(boost::none);
  }

  [[nodiscard]] Parser& parser() { return parser_; }
  [[nodiscard]] bool done() { return parser_.is_done(); }

  // False when the peer closed before the first byte of a message.
  boost::asio::awaitable<Result<bool>> read_head() {
    for (bool any = false; !parser_.is_header_done();) {
      if (!wire_.unread.empty()) {
        any = true;
        boost::beast::error_code error = put();
        if (parser_.is_header_done()) break;
        if (error && error != boost::beast::http::error::need_more) co_return bad_message(error);
        if (!error) continue;
      }
      LAB_CO_TRY(bool more, co_await wire_.read_more());
      if (!more && !any) co_return false;
      if (!more)
        co_return make_error(Code::unavailable, "{} closed the connection inside an HTTP header",
                             peer());
    }
    co_return true;
  }

  // 0 at the end of the body.
  boost::asio::awaitable<Result<std::size_t>> read_some(boost::asio::mutable_buffer buffer) {
    auto& body = parser_.get().body();
    while (!parser_.is_done()) {
      body.data = buffer.data();
      body.size = buffer.size();
      body.more = true;
      if (!wire_.unread.empty()) {
        boost::beast::error_code error = put();
        if (std::size_t got = buffer.size() - body.size; got > 0) co_return got;
        if (parser_.is_done()) break;
        if (error && error != boost::beast::http::error::need_more &&
            error != boost::beast::http::error::need_buffer) {
          co_return bad_message(error);
        }
        if (!error) continue;
      }
      LAB_CO_TRY(bool more, co_await wire_.read_more());
      if (!more) {
        boost::beast::error_code error;
        parser_.put_eof(error);
        if (error)
          co_return make_error(Code::unavailable, "{} closed the connection inside a body", peer());
      }
    }
    co_return std::size_t{0};
  }

  boost::asio::awaitable<Result<std::string>> read_all(std::size_t bytes_max) {
    std::string all;
    std::size_t filled = 0;
    for (;;) {
      all.resize(filled + 65536);
      LAB_CO_TRY(std::size_t got,
                 co_await read_some(boost::asio::buffer(all.data() + filled, 65536)));
      filled += got;
      if (got == 0) break;
      if (filled > bytes_max) {
        co_return make_error(Code::invalid_argument, "the body from {} is larger than {} bytes",
                             peer(), bytes_max);
      }
    }
    all.resize(filled);
    co_return all;
  }

  [[nodiscard]] Headers headers() {
    Headers headers;
    for (const auto& field : parser_.get())
      headers.add(field.name_string(), std::string(field.value()));
    return headers;
  }

 private:
  boost::beast::error_code put() {
    boost::beast::error_code error;
    std::size_t used = parser_.put(boost::asio::buffer(wire_.unread), error);
    wire_.unread.erase(0, used);
    return error;
  }

  [[nodiscard]] std::string peer() { return wire_.stream->peer_address(); }

  Error bad_message(const boost::beast::error_code& error) {
    return make_error(Code::invalid_argument, "bad HTTP message from {}: {}", peer(),
                      error.message());
  }

  Wire& wire_;
  Parser parser_;
};

// What is left of a taken-over connection: bytes read ahead come first.
class WireStream final : public Stream {
 public:
  explicit WireStream(Wire wire) : wire_(std::move(wire)) {}

  boost::asio::awaitable<Result<std::size_t>> read_some(
      boost::asio::mutable_buffer buffer) override {
    if (wire_.unread.empty()) co_return co_await wire_.stream->read_some(buffer);
    std::size_t count = std::min(buffer.size(), wire_.unread.size());
    std::copy_n(wire_.unread.data(), count, static_cast<char*>(buffer.data()));
    wire_.unread.erase(0, count);
    co_return count;
  }
  boost::asio::awaitable<Result<void>> write(std::string_view bytes) override {
    return wire_.stream->write(bytes);
  }
  boost::asio::awaitable<Result<void>> shutdown_write() override {
    return wire_.stream->shutdown_write();
  }
  void close() override { wire_.stream->close(); }
  boost::asio::any_io_executor executor() override { return wire_.stream->executor(); }
  std::string peer_address() const override { return wire_.stream->peer_address(); }
  std::string peer_certificate_pem() const override { return wire_.stream->peer_certificate_pem(); }
  int native_handle() override { return wire_.stream->native_handle(); }

 private:
  Wire wire_;
};

inline std::string serialize_fields(const Headers& headers) {
  std::string text;
  for (const auto& [name, value] : headers.fields()) {
    text += name;
    text += ": ";
    // A line break in a value would start a header of the sender's choosing.
    for (char c : value) text += c == '\r' || c == '\n' ? ' ' : c;
    text += "\r\n";
  }
  return text + "\r\n";
}

// One piece of a chunked body.
inline std::string chunk_of(std::string_view bytes) {
  std::string chunk = fmt::format("{:x}\r\n", bytes.size());
  chunk += bytes;
  chunk += "\r\n";
  return chunk;
}

inline constexpr std::string_view last_chunk = "0\r\n\r\n";

}  // namespace lab::http
