// A byte stream without its kind: a Unix socket, TCP, or TLS over either. HTTP, hijacked
// connections and the swarm's transport are written against this.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <chrono>
#include <memory>
#include <string>
#include <string_view>

#include "base/error.hpp"

namespace lab {

class Stream {
 public:
  virtual ~Stream() = default;
  // At least one byte, or 0 at the peer's end of stream.
  [[nodiscard]] virtual boost::asio::awaitable<Result<std::size_t>> read_some(
      boost::asio::mutable_buffer buffer) = 0;
  // All of it. `bytes` must stay valid until the coroutine ends.
  [[nodiscard]] virtual boost::asio::awaitable<Result<void>> write(std::string_view bytes) = 0;
  // Half close: the peer reads the end of stream, we may still read.
  [[nodiscard]] virtual boost::asio::awaitable<Result<void>> shutdown_write() = 0;
  // Ends pending operations with Code::cancelled. Idempotent.
  virtual void close() = 0;
  [[nodiscard]] virtual boost::asio::any_io_executor executor() = 0;
  // "unix" or "192.168.50.5:43210".
  [[nodiscard]] virtual std::string peer_address() const = 0;
  // The certificate that a TLS peer proved to own, as PEM; empty without one.
  [[nodiscard]] virtual std::string peer_certificate_pem() const { return {}; }
  // The socket, for credentials and options; -1 where there is none.
  [[nodiscard]] virtual int native_handle() { return -1; }
};

using StreamPtr = std::unique_ptr<Stream>;

// Takes over a connected socket (asio's TCP and Unix sockets convert to this type).
[[nodiscard]] StreamPtr make_stream(boost::asio::generic::stream_protocol::socket socket);

[[nodiscard]] boost::asio::awaitable<Result<StreamPtr>> connect_unix(std::string path);
// `host` is a name or an address; tries its addresses in turn until the deadline.
[[nodiscard]] boost::asio::awaitable<Result<StreamPtr>> connect_tcp(
    std::string host, std::uint16_t port, std::chrono::milliseconds timeout);

// Exactly `size` bytes; Code::unavailable when the stream ends before.
[[nodiscard]] boost::asio::awaitable<Result<std::string>> read_exactly(Stream& stream,
                                                                       std::size_t size);

}  // namespace lab
