#include "base/stream.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/connect.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

#include "base/deadline.hpp"
#include "base/stream_errors.hpp"

namespace lab {

namespace asio = boost::asio;

namespace {

constexpr auto awaiting = asio::as_tuple(asio::use_awaitable);

class SocketStream final : public Stream {
 public:
  explicit SocketStream(asio::generic::stream_protocol::socket socket)
      : socket_(std::move(socket)), peer_(describe_peer(socket_)) {}

  asio::awaitable<Result<std::size_t>> read_some(asio::mutable_buffer buffer) override {
    auto [error, count] = co_await socket_.async_read_some(buffer, awaiting);
    if (error) co_return read_error(error, peer_);
    co_return count;
  }

  asio::awaitable<Result<void>> write(std::string_view bytes) override {
    auto [error, count] =
        co_await asio::async_write(socket_, asio::buffer(bytes.data(), bytes.size()), awaiting);
    if (error) co_return stream_error(error, "writing to", peer_);
    co_return Result<void>{};
  }

  asio::awaitable<Result<void>> shutdown_write() override {
    boost::system::error_code error;
    socket_.shutdown(asio::socket_base::shutdown_send, error);
    if (error) co_return stream_error(error, "half-closing", peer_);
    co_return Result<void>{};
  }

  void close() override {
    boost::system::error_code ignored;
    socket_.close(ignored);
  }

  asio::any_io_executor executor() override { return socket_.get_executor(); }
  std::string peer_address() const override { return peer_; }
  int native_handle() override { return socket_.native_handle(); }

 private:
  asio::generic::stream_protocol::socket socket_;
  std::string peer_;
};

}  // namespace

Error stream_error(boost::system::error_code error, std::string_view doing, std::string_view peer) {
  if (error == asio::error::operation_aborted || error == asio::error::bad_descriptor) {
    return make_error(Code::cancelled, "{} {}: closed on this side", doing, peer);
  }
  Code code = Code::unavailable;
  if (error == asio::error::timed_out) code = Code::deadline_exceeded;
  return make_error(code, "{} {}: {}", doing, peer, error.message());
}

Result<std::size_t> read_error(boost::system::error_code error, std::string_view peer) {
  if (error == asio::error::eof) return std::size_t{0};
  return stream_error(error, "reading from", peer);
}

std::string describe_peer(const asio::generic::stream_protocol::socket& socket) {
  boost::system::error_code error;
  auto endpoint = socket.remote_endpoint(error);
  if (error) return "a closed connection";
  if (endpoint.protocol().family() == AF_UNIX) return "unix";
  asio::ip::tcp::endpoint tcp;
  if (endpoint.size() > tcp.capacity()) return "an unknown peer";
  std::memcpy(tcp.data(), endpoint.data(), endpoint.size());
  tcp.resize(endpoint.size());
  bool v6 = tcp.address().is_v6();
  return fmt::format("{}{}{}:{}", v6 ? "[" : "", tcp.address().to_string(), v6 ? "]" : "",
                     tcp.port());
}

StreamPtr make_stream(asio::generic::stream_protocol::socket socket) {
  return std::make_unique<SocketStream>(std::move(socket));
}

asio::awaitable<Result<StreamPtr>> connect_unix(std::string path) {
  auto executor = co_await asio::this_coro::executor;
  if (path.size() >= 108) {
    co_return make_error(Code::invalid_argument, "socket path {} has {} bytes; at most 107 fit",
                         path, path.size());
  }
  asio::local::stream_protocol::socket socket(executor);
  asio::local::stream_protocol::endpoint endpoint(path);
  auto [error] = co_await socket.async_connect(endpoint, awaiting);
  if (error) co_return errno_error(error.value(), fmt::format("connecting to {}", path));
  co_return make_stream(std::move(socket));
}

asio::awaitable<Result<asio::generic::stream_protocol::socket>> connect_tcp_socket(
    std::string host, std::uint16_t port, std::chrono::milliseconds timeout) {
  auto executor = co_await asio::this_coro::executor;
  asio::ip::tcp::resolver resolver(executor);
  asio::ip::tcp::socket socket(executor);
  bool expired = false;
  Deadline deadline(executor, timeout, [&expired, &resolver, &socket] {
    expired = true;
    resolver.cancel();
    boost::system::error_code ignored;
    socket.close(ignored);
  });
  std::string service = std::to_string(port);
  auto [resolve_error, results] = co_await resolver.async_resolve(host, service, awaiting);
  boost::system::error_code error = resolve_error;
  if (!error && !expired) {
    auto [connect_error, endpoint] = co_await asio::async_connect(socket, results, awaiting);
    error = connect_error;
  }
  if (deadline.end()) {
    co_return make_error(Code::deadline_exceeded, "connecting to {}:{}: no answer within {} ms",
                         host, port, timeout.count());
  }
  if (error) co_return stream_error(error, "connecting to", fmt::format("{}:{}", host, port));
  boost::system::error_code ignored;
  socket.set_option(asio::ip::tcp::no_delay(true), ignored);
  co_return asio::generic::stream_protocol::socket(std::move(socket));
}

asio::awaitable<Result<StreamPtr>> connect_tcp(std::string host, std::uint16_t port,
                                               std::chrono::milliseconds timeout) {
  LAB_CO_TRY(auto socket, co_await connect_tcp_socket(std::move(host), port, timeout));
  co_return make_stream(std::move(socket));
}

asio::awaitable<Result<std::string>> read_exactly(Stream& stream, std::size_t size) {
  std::string bytes(size, '\0');
  for (std::size_t done = 0; done < size;) {
    LAB_CO_TRY(std::size_t got,
               co_await stream.read_some(asio::buffer(bytes.data() + done, size - done)));
    if (got == 0) {
      co_return make_error(Code::unavailable, "{} closed the connection after {} of {} bytes",
                           stream.peer_address(), done, size);
    }
    done += got;
  }
  co_return bytes;
}

}  // namespace lab
