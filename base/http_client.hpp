// An HTTP/1.1 client over Unix sockets, TCP and TLS: streaming bodies both ways, kept-alive
// connections, upgrades.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/http.hpp"
#include "base/stream.hpp"
#include "base/tls.hpp"

namespace lab::http {

// Where requests go. Either unix_path, or host and port (with TLS when `tls` is set).
struct Endpoint {
  std::string unix_path;
  std::string host;
  std::uint16_t port = 0;
  std::optional<tls::Context> tls;
  std::string server_name;  // whom the certificate must name; empty: `host`
};

// The answer's head; its body is read from here, before the next request on the same client
// connection.
class ClientResponse {
 public:
  virtual ~ClientResponse() = default;
  [[nodiscard]] virtual int status() const = 0;
  [[nodiscard]] virtual const Headers& headers() const = 0;
  // 0 at the end of the body. A body cut short is Code::unavailable.
  [[nodiscard]] virtual boost::asio::awaitable<Result<std::size_t>> read_some(
      boost::asio::mutable_buffer buffer) = 0;
  [[nodiscard]] virtual boost::asio::awaitable<Result<std::string>> read_all(
      std::size_t bytes_max = std::size_t{64} << 20) = 0;
  // After 101 (or Docker's 200 on a hijacked request): the raw connection, early bytes first.
  [[nodiscard]] virtual StreamPtr take_stream() = 0;
};

// Fills the next piece of a request body; an empty string ends it.
using BodySource = std::function<boost::asio::awaitable<Result<std::string>>()>;

struct ClientRequest {
  std::string method = "GET";
  std::string target = "/";
  Headers headers;  // Host and the body's headers are added
  std::string body;
  BodySource source;  // instead of body; chunked, unless content_length is given
  std::optional<std::uint64_t> content_length;
  std::chrono::milliseconds timeout{
      30'000};  // to connect, and until the answer's head has come; 0 waits forever
  std::chrono::milliseconds body_timeout{
      0};  // for each piece of the answer's body; 0 waits forever
};

// Keeps idle connections and uses them again. One executor thread at a time.
class Client {
 public:
  Client(boost::asio::any_io_executor executor, Endpoint endpoint);
  Client(Client&&) noexcept;
  Client& operator=(Client&&) noexcept;
  ~Client();

  [[nodiscard]] boost::asio::awaitable<Result<std::unique_ptr<ClientResponse>>> send(
      ClientRequest request);
  // send() and the whole body.
  [[nodiscard]] boost::asio::awaitable<Result<Response>> fetch(ClientRequest request);

  struct Impl;

 private:
  std::shared_ptr<Impl> impl_;
};

// One request from code that has no event loop (the command line); runs a loop of its own.
// `request.source` is not supported.
[[nodiscard]] Result<Response> fetch_blocking(Endpoint endpoint, ClientRequest request);

}  // namespace lab::http
