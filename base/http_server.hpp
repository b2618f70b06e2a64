// An HTTP/1.1 server on Unix sockets, TCP and TLS: streaming bodies both ways, keep-alive, and
// connections taken over by a handler (Docker's hijacked attach, exec and logs streams).
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/http.hpp"
#include "base/stream.hpp"
#include "base/tls.hpp"

namespace lab::http {

// One request and its answer. Lives until the handler's coroutine ends.
class Exchange {
 public:
  virtual ~Exchange() = default;
  [[nodiscard]] virtual const Request& request() const = 0;
  // What the router matched: parameter("id") for a pattern with {id}. Empty if there is none.
  [[nodiscard]] virtual const std::string& parameter(std::string_view name) const = 0;
  virtual void set_parameters(std::map<std::string, std::string, std::less<>> parameters) = 0;

  // The request's body, piece by piece; 0 at its end. Sends "100 Continue" when the client waits
  // for it.
  [[nodiscard]] virtual boost::asio::awaitable<Result<std::size_t>> read_some(
      boost::asio::mutable_buffer buffer) = 0;
  // All that is left of the body; larger than bytes_max is Code::invalid_argument.
  [[nodiscard]] virtual boost::asio::awaitable<Result<std::string>> read_all(
      std::size_t bytes_max = std::size_t{16} << 20) = 0;

  // A whole answer at once. A HEAD request gets the headers only.
  [[nodiscard]] virtual boost::asio::awaitable<Result<void>> respond(Response response) = 0;

  // A streamed answer: head now (flushed), then pieces (each flushed), then the end. Chunked unless
  // the headers have Content-Length.
  [[nodiscard]] virtual boost::asio::awaitable<Result<void>> start(int status, Headers headers) = 0;
  [[nodiscard]] virtual boost::asio::awaitable<Result<void>> write(std::string_view bytes) = 0;
  [[nodiscard]] virtual boost::asio::awaitable<Result<void>> finish() = 0;
  [[nodiscard]] virtual bool started() const = 0;

  // Answers with `head_status` and headers and hands the connection over; bytes that the client
  // sent early come first. 101 when the client asked for an upgrade, 200 otherwise, is Docker's
  // rule; this sends what it is told.
  [[nodiscard]] virtual boost::asio::awaitable<Result<StreamPtr>> hijack(int status,
                                                                         Headers headers) = 0;

  // Ends when the client has closed the connection: the signal to stop a stream that is silent.
  // Only for requests whose body was read. Cancel it by ending the coroutine that awaits it.
  [[nodiscard]] virtual boost::asio::awaitable<void> client_gone() = 0;

  [[nodiscard]] virtual std::string peer_address() const = 0;
  [[nodiscard]] virtual std::string peer_certificate_pem() const = 0;
};

// A failed Result becomes error_response() if no answer was started, else the connection is closed.
using Handler = std::function<boost::asio::awaitable<Result<void>>(Exchange&)>;

// Patterns: "/containers/{id}/json"; "{name...}" takes slashes too ("/images/{name...}/json"). The
// most literal pattern wins. A leading version ("/v1.41") is cut off when `strip_version` is set
// and handed over as parameter "version". Unknown path: 404 {"message":"page not found"}.
class Router {
 public:
  explicit Router(bool strip_version = false) : strip_version_(strip_version) {}
  void add(std::string_view method, std::string_view pattern, Handler handler);
  // Called for what nothing matches; replaces the 404.
  void set_fallback(Handler handler) { fallback_ = std::move(handler); }
  [[nodiscard]] boost::asio::awaitable<Result<void>> operator()(Exchange& exchange) const;

 private:
  struct Route {
    std::string method;
    std::vector<std::string> segments;
    Handler handler;
  };
  bool strip_version_;
  std::vector<Route> routes_;
  Handler fallback_;
};

class Server {
 public:
  // `handler` must outlive the server's connections, as must what it refers to.
  Server(boost::asio::any_io_executor executor, Handler handler);
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;
  ~Server();  // as stop()

  // Replaces a stale socket file; a live server behind it is Code::conflict. `group` is applied if
  // it exists.
  [[nodiscard]] Result<void> listen_unix(const std::string& path, unsigned mode,
                                         const std::string& group = {});
  // Port 0 takes a free one; gives the port.
  [[nodiscard]] Result<std::uint16_t> listen_tcp(const std::string& address, std::uint16_t port,
                                                 std::optional<tls::Context> context = {});
  // Takes over a listening socket (Unix or TCP).
  [[nodiscard]] Result<void> listen_fd(int fd);
  // Stops listening and closes every connection; their handlers see Code::cancelled.
  void stop();

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace lab::http
