#include "base/http_server.hpp"

#include <grp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "base/file.hpp"
#include "base/http_wire.hpp"
#include "base/log.hpp"

namespace lab::http {

namespace asio = boost::asio;

namespace {

constexpr auto awaiting = asio::as_tuple(asio::use_awaitable);
// What a handler left unread of a body is read away up to this, to keep the connection; above, the
// connection closes.
constexpr std::size_t drained_bytes_max = std::size_t{1} << 20;

bool status_has_body(int status) { return status >= 200 && status != 204 && status != 304; }

class ServerExchange final : public Exchange {
 public:
  ServerExchange(Wire& wire, MessageReader<true>& reader) : wire_(wire), reader_(reader) {
    auto& message = reader.parser().get();
    request_.method = std::string(message.method_string());
    request_.target = std::string(message.target());
    std::string_view target = request_.target;
    std::size_t question = target.find('?');
    request_.path = url_decode(target.substr(0, question), false);
    if (question != std::string_view::npos) request_.query = Query(target.substr(question + 1));
    request_.headers = reader.headers();
    http_1_0_ = message.version() < 11;
    close_after_ = !message.keep_alive();
    expects_continue_ = request_.headers.get("Expect") == "100-continue";
  }

  const Request& request() const override { return request_; }
  const std::string& parameter(std::string_view name) const override {
    static const std::string none;
    auto found = parameters_.find(name);
    return found == parameters_.end() ? none : found->second;
  }
  void set_parameters(std::map<std::string, std::string, std::less<>> parameters) override {
    parameters_ = std::move(parameters);
  }

  asio::awaitable<Result<std::size_t>> read_some(asio::mutable_buffer buffer) override {
    LAB_CO_CHECK(co_await send_continue());
    co_return co_await reader_.read_some(buffer);
  }

  asio::awaitable<Result<std::string>> read_all(std::size_t bytes_max) override {
    LAB_CO_CHECK(co_await send_continue());
    co_return co_await reader_.read_all(bytes_max);
  }

  asio::awaitable<Result<void>> respond(Response response) override {
    bool has_body = status_has_body(response.status);
    if (has_body) response.headers.set("Content-Length", std::to_string(response.body.size()));
    std::string bytes = head(response.status, response.headers);
    if (has_body && request_.method != "HEAD") bytes += response.body;
    started_ = finished_ = true;
    co_return co_await wire_.stream->write(bytes);
  }

  asio::awaitable<Result<void>> start(int status, Headers headers) override {
    chunked_ = false;
    if (!headers.has("Content-Length") && status_has_body(status)) {
      if (http_1_0_) {
        close_after_ = true;
      } else {
        chunked_ = true;
        headers.set("Transfer-Encoding", "chunked");
      }
    }
    started_ = true;
    std::string bytes = head(status, headers);
    co_return co_await wire_.stream->write(bytes);
  }

  asio::awaitable<Result<void>> write(std::string_view bytes) override {
    if (bytes.empty() || request_.method == "HEAD") co_return Result<void>{};
    if (!chunked_) co_return co_await wire_.stream->write(bytes);
    std::string chunk = chunk_of(bytes);
    co_return co_await wire_.stream->write(chunk);
  }

  asio::awaitable<Result<void>> finish() override {
    finished_ = true;
    if (chunked_ && request_.method != "HEAD") co_return co_await wire_.stream->write(last_chunk);
    co_return Result<void>{};
  }

  bool started() const override { return started_; }

  asio::awaitable<Result<StreamPtr>> hijack(int status, Headers headers) override {
    started_ = finished_ = hijacked_ = true;
    std::string bytes = fmt::format("HTTP/1.1 {} {}\r\n", status, reason_phrase(status)) +
                        serialize_fields(headers);
    LAB_CO_CHECK(co_await wire_.stream->write(bytes));
    co_return StreamPtr(std::make_unique<WireStream>(std::move(wire_)));
  }

  asio::awaitable<void> client_gone() override {
    for (;;) {
      Result<bool> more = co_await wire_.read_more();
      // Whoever waited needs no answer any more; the connection is as good as before.
      if (!more && more.error().code == Code::cancelled) co_return;
      if (!more || !*more) break;
      if (wire_.unread.size() > drained_bytes_max) break;
    }
    close_after_ = true;
  }

  std::string peer_address() const override { return wire_.stream->peer_address(); }
  std::string peer_certificate_pem() const override { return wire_.stream->peer_certificate_pem(); }

  // What the connection has to know afterwards.
  [[nodiscard]] bool hijacked() const { return hijacked_; }
  [[nodiscard]] bool finished() const { return finished_; }
  [[nodiscard]] bool close_after() const { return close_after_; }

 private:
  std::string head(int status, Headers& headers) {
    if (close_after_) headers.set("Connection", "close");
    return fmt::format("HTTP/1.1 {} {}\r\n", status, reason_phrase(status)) +
           serialize_fields(headers);
  }

  asio::awaitable<Result<void>> send_continue() {
    if (!expects_continue_ || started_) co_return Result<void>{};
    expects_continue_ = false;
    co_return co_await wire_.stream->write("HTTP/1.1 100 Continue\r\n\r\n");
  }

  Wire& wire_;
  MessageReader<true>& reader_;
  Request request_;
  std::map<std::string, std::string, std::less<>> parameters_;
  bool http_1_0_ = false;
  bool close_after_ = false;
  bool expects_continue_ = false;
  bool started_ = false;
  bool finished_ = false;
  bool chunked_ = false;
  bool hijacked_ = false;
};

// Reads away what is left of the body; false when the connection cannot be used again.
asio::awaitable<bool> drain(MessageReader<true>& reader) {
  char scrap[16384];
  for (std::size_t total = 0; !reader.done();) {
    Result<std::size_t> got = co_await reader.read_some(asio::buffer(scrap));
    if (!got) co_return false;
    if (*got == 0) break;
    total += *got;
    if (total > drained_bytes_max) co_return false;
  }
  co_return true;
}

// Runs the handler; its failure, expected or not, becomes the answer. False when the connection
// must close.
asio::awaitable<bool> answer(const Handler& handler, ServerExchange& exchange) {
  Result<void> result;
  try {
    result = co_await handler(exchange);
  } catch (const std::exception& exception) {
    log::error("{} {}: {}", exchange.request().method, exchange.request().path, exception.what());
    result = make_error(Code::internal, "internal error: {}", exception.what());
  }
  if (exchange.hijacked()) co_return false;
  if (!exchange.started()) {
    Response response = result ? Response{} : error_response(result.error());
    Result<void> sent = co_await exchange.respond(std::move(response));
    if (!sent) co_return false;
  }
  co_return result.has_value() || exchange.finished();
}

std::vector<std::string> split_path(std::string_view path) {
  std::vector<std::string> segments;
  while (!path.empty()) {
    if (path.front() == '/') {
      path.remove_prefix(1);
      continue;
    }
    std::string_view segment = path.substr(0, path.find('/'));
    segments.emplace_back(segment);
    path.remove_prefix(segment.size());
  }
  return segments;
}

// Whether the pattern matches; `literals` counts its segments that are no parameters.
bool match(const std::vector<std::string>& pattern, const std::vector<std::string>& path,
           std::map<std::string, std::string, std::less<>>& parameters, int& literals) {
  std::size_t at = 0;
  literals = 0;
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    const std::string& part = pattern[i];
    if (part.front() != '{') {
      if (at >= path.size() || path[at] != part) return false;
      ++literals;
      ++at;
      continue;
    }
    bool greedy = part.ends_with("...}");
    std::size_t behind = pattern.size() - i - 1;  // segments that the rest of the pattern needs
    if (path.size() < at + 1 + behind) return false;
    std::size_t take = greedy ? path.size() - at - behind : 1;
    std::string value;
    for (std::size_t k = 0; k < take; ++k) value += (k == 0 ? "" : "/") + path[at + k];
    parameters[part.substr(1, part.size() - (greedy ? 5 : 2))] = std::move(value);
    at += take;
  }
  return at == path.size();
}

bool is_version(std::string_view segment) {
  if (segment.size() < 4 || segment[0] != 'v') return false;
  std::size_t dot = segment.find('.');
  if (dot == std::string_view::npos || dot < 2 || dot + 1 == segment.size()) return false;
  return segment.find_first_not_of("0123456789.", 1) == std::string_view::npos;
}

}  // namespace

void Router::add(std::string_view method, std::string_view pattern, Handler handler) {
  routes_.push_back({std::string(method), split_path(pattern), std::move(handler)});
}

asio::awaitable<Result<void>> Router::operator()(Exchange& exchange) const {
  std::vector<std::string> path = split_path(exchange.request().path);
  std::map<std::string, std::string, std::less<>> base;
  if (strip_version_ && !path.empty() && is_version(path.front())) {
    base["version"] = path.front().substr(1);
    path.erase(path.begin());
  }
  const Route* best = nullptr;
  int best_literals = -1;
  std::map<std::string, std::string, std::less<>> best_parameters;
  for (const Route& route : routes_) {
    if (route.method != exchange.request().method) continue;
    std::map<std::string, std::string, std::less<>> parameters = base;
    int literals = 0;
    if (!match(route.segments, path, parameters, literals) || literals <= best_literals) continue;
    best = &route;
    best_literals = literals;
    best_parameters = std::move(parameters);
  }
  exchange.set_parameters(best != nullptr ? std::move(best_parameters) : std::move(base));
  if (best != nullptr) co_return co_await best->handler(exchange);
  if (fallback_) co_return co_await fallback_(exchange);
  co_return make_error(Code::not_found, "page not found");
}

struct Server::Impl : std::enable_shared_from_this<Server::Impl> {
  using Acceptor = asio::basic_socket_acceptor<asio::generic::stream_protocol>;

  struct Listener {
    Acceptor acceptor;
    std::optional<tls::Context> context;
    std::string unix_path;
  };

  Impl(asio::any_io_executor run_on, Handler handle)
      : executor(std::move(run_on)), handler(std::move(handle)) {}

  static asio::awaitable<void> serve(std::shared_ptr<Impl> self,
                                     asio::generic::stream_protocol::socket socket,
                                     std::optional<tls::Context> context) {
    Wire wire;
    if (context) {
      auto accepted = co_await tls::accept(std::move(socket), *context, std::chrono::seconds(10));
      if (!accepted) {
        log::debug("{}", accepted.error().message);
        co_return;
      }
      wire.stream = std::move(*accepted);
    } else {
      wire.stream = make_stream(std::move(socket));
    }
    Stream* raw = wire.stream.get();
    self->connections.insert(raw);
    co_await serve_requests(self, wire);
    self->connections.erase(raw);
  }

  static asio::awaitable<void> serve_requests(std::shared_ptr<Impl> self, Wire& wire) {
    while (!self->stopped) {
      MessageReader<true> reader(wire);
      Result<bool> head = co_await reader.read_head();
      if (!head) {
        if (head.error().code == Code::invalid_argument) {
          std::string refusal =
              "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
          Result<void> ignored = co_await wire.stream->write(refusal);
        }
        co_return;
      }
      if (!*head) co_return;
      ServerExchange exchange(wire, reader);
      Stream* raw = wire.stream.get();
      bool usable = co_await answer(self->handler, exchange);
      if (exchange.hijacked()) {
        self->connections.erase(raw);
        co_return;
      }
      if (!usable || exchange.close_after()) co_return;
      if (!co_await drain(reader)) co_return;
    }
  }

  static asio::awaitable<void> accept_loop(std::shared_ptr<Impl> self,
                                           std::shared_ptr<Listener> listener) {
    while (!self->stopped) {
      auto [error, socket] = co_await listener->acceptor.async_accept(awaiting);
      if (error) {
        if (self->stopped || error == asio::error::operation_aborted) co_return;
        // Out of descriptors or memory: wait for some to come back instead of spinning.
        log::warning("accepting a connection: {}", error.message());
        asio::steady_timer pause(self->executor, std::chrono::milliseconds(100));
        co_await pause.async_wait(awaiting);
        continue;
      }
      spawn(self, serve(self, std::move(socket), listener->context));
    }
  }

  static void spawn(const std::shared_ptr<Impl>& self, asio::awaitable<void> work) {
    asio::co_spawn(self->executor, std::move(work), [](std::exception_ptr exception) {
      if (!exception) return;
      try {
        std::rethrow_exception(exception);
      } catch (const std::exception& error) {
        log::error("HTTP connection: {}", error.what());
      }
    });
  }

  Result<void> listen(int fd, std::optional<tls::Context> context, std::string unix_path) {
    sockaddr_storage address{};
    socklen_t size = sizeof address;
    if (getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
      return errno_error(errno, "a listening socket");
    }
    auto listener = std::make_shared<Listener>(
        Listener{Acceptor(executor), std::move(context), std::move(unix_path)});
    boost::system::error_code error;
    listener->acceptor.assign(asio::generic::stream_protocol(address.ss_family, 0), fd, error);
    if (error) return make_error(Code::internal, "a listening socket: {}", error.message());
    listeners.push_back(listener);
    spawn(shared_from_this(), accept_loop(shared_from_this(), listener));
    return {};
  }

  void stop() {
    if (stopped) return;
    stopped = true;
    for (auto& listener : listeners) {
      boost::system::error_code ignored;
      listener->acceptor.close(ignored);
      if (!listener->unix_path.empty()) unlink(listener->unix_path.c_str());
    }
    for (Stream* stream : connections) stream->close();
  }

  asio::any_io_executor executor;
  Handler handler;
  std::vector<std::shared_ptr<Listener>> listeners;
  std::set<Stream*> connections;
  bool stopped = false;
};

Server::Server(asio::any_io_executor executor, Handler handler)
    : impl_(std::make_shared<Impl>(std::move(executor), std::move(handler))) {}

Server::~Server() { stop(); }

void Server::stop() { impl_->stop(); }

Result<void> Server::listen_unix(const std::string& path, unsigned mode, const std::string& group) {
  asio::io_context scratch;
  asio::local::stream_protocol::endpoint endpoint;
  if (path.size() >= 108) {
    return make_error(Code::invalid_argument, "socket path {} has {} bytes; at most 107 fit", path,
                      path.size());
  }
  endpoint.path(path);
  asio::local::stream_protocol::socket probe(scratch);
  boost::system::error_code error;
  probe.connect(endpoint, error);
  if (!error) return make_error(Code::conflict, "{} is served by another process already", path);
  unlink(path.c_str());
  Fd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  // Created closed to others, opened to the group afterwards: no instant in which anybody could
  // connect.
  mode_t old_mask = umask(0177);
  int bound = fd ? bind(fd.get(), endpoint.data(), static_cast<socklen_t>(endpoint.size())) : -1;
  int bind_errno = errno;
  umask(old_mask);
  if (bound != 0) return errno_error(bind_errno, fmt::format("listening on {}", path));
  if (!group.empty()) {
    if (const ::group* entry = getgrnam(group.c_str()); entry != nullptr) {
      if (chown(path.c_str(), static_cast<uid_t>(-1), entry->gr_gid) != 0) {
        return errno_error(errno, fmt::format("giving {} to group {}", path, group));
      }
    }
  }
  if (chmod(path.c_str(), mode) != 0) return errno_error(errno, fmt::format("chmod {}", path));
  if (::listen(fd.get(), SOMAXCONN) != 0)
    return errno_error(errno, fmt::format("listening on {}", path));
  return impl_->listen(fd.release(), {}, path);
}

Result<std::uint16_t> Server::listen_tcp(const std::string& address, std::uint16_t port,
                                         std::optional<tls::Context> context) {
  asio::io_context scratch;
  boost::system::error_code error;
  auto parsed = asio::ip::make_address(address, error);
  if (error)
    return make_error(Code::invalid_argument, "{} is not an IP address to listen on", address);
  asio::ip::tcp::acceptor acceptor(scratch);
  asio::ip::tcp::endpoint endpoint(parsed, port);
  acceptor.open(endpoint.protocol(), error);
  if (!error) acceptor.set_option(asio::socket_base::reuse_address(true), error);
  if (!error) acceptor.bind(endpoint, error);
  if (!error) acceptor.listen(asio::socket_base::max_listen_connections, error);
  if (error) return errno_error(error.value(), fmt::format("listening on {}:{}", address, port));
  std::uint16_t chosen = acceptor.local_endpoint(error).port();
  LAB_CHECK(impl_->listen(acceptor.release(), std::move(context), {}));
  return chosen;
}

Result<void> Server::listen_fd(int fd) { return impl_->listen(fd, {}, {}); }

}  // namespace lab::http
