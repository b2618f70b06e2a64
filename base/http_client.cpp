#include "base/http_client.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/this_coro.hpp>

#include "base/deadline.hpp"
#include "base/http_wire.hpp"

namespace lab::http {

namespace asio = boost::asio;

struct Client::Impl {
  asio::any_io_executor executor;
  Endpoint endpoint;
  std::vector<Wire> idle;

  asio::awaitable<Result<Wire>> connect(std::chrono::milliseconds timeout) {
    auto limit = timeout.count() == 0 ? std::chrono::milliseconds(30'000) : timeout;
    Wire wire;
    if (!endpoint.unix_path.empty()) {
      LAB_CO_TRY(wire.stream, co_await connect_unix(endpoint.unix_path));
    } else if (endpoint.tls) {
      const std::string& name = endpoint.server_name;
      LAB_CO_TRY(wire.stream,
                 co_await tls::connect_tcp(endpoint.host, endpoint.port, *endpoint.tls,
                                           name.empty() ? endpoint.host : name, limit));
    } else {
      LAB_CO_TRY(wire.stream, co_await connect_tcp(endpoint.host, endpoint.port, limit));
    }
    co_return wire;
  }

  [[nodiscard]] std::string host_header() const {
    if (!endpoint.unix_path.empty()) return "localhost";
    bool default_port = endpoint.port == (endpoint.tls ? 443 : 80);
    bool v6 = endpoint.host.find(':') != std::string::npos;
    std::string host = v6 ? "[" + endpoint.host + "]" : endpoint.host;
    return default_port ? host : fmt::format("{}:{}", host, endpoint.port);
  }
};

namespace {

constexpr std::size_t idle_connections_max = 8;

class WireResponse final : public ClientResponse {
 public:
  WireResponse(std::weak_ptr<Client::Impl> pool, Wire wire, std::chrono::milliseconds body_timeout)
      : pool_(std::move(pool)),
        wire_(std::make_unique<Wire>(std::move(wire))),
        reader_(*wire_),
        body_timeout_(body_timeout) {}
  ~WireResponse() override;

  MessageReader<false>& reader() { return reader_; }
  Wire& wire() { return *wire_; }

  int status() const override {
    return const_cast<WireResponse*>(this)->reader_.parser().get().result_int();
  }
  const Headers& headers() const override { return headers_; }
  void keep_headers() { headers_ = reader_.headers(); }

  asio::awaitable<Result<std::size_t>> read_some(asio::mutable_buffer buffer) override {
    Deadline deadline(wire_->stream->executor(), body_timeout_, [this] { wire_->stream->close(); });
    auto count = co_await reader_.read_some(buffer);
    if (deadline.end()) co_return body_late();
    co_return count;
  }
  asio::awaitable<Result<std::string>> read_all(std::size_t bytes_max) override {
    Deadline deadline(wire_->stream->executor(), body_timeout_, [this] { wire_->stream->close(); });
    auto body = co_await reader_.read_all(bytes_max);
    if (deadline.end()) co_return body_late();
    co_return body;
  }

  StreamPtr take_stream() override {
    taken_ = true;
    return std::make_unique<WireStream>(std::move(*wire_));
  }

 private:
  [[nodiscard]] Error body_late() const {
    return make_error(Code::deadline_exceeded, "no more of the body from {} within {} ms",
                      wire_->stream->peer_address(), body_timeout_.count());
  }

  std::weak_ptr<Client::Impl> pool_;
  std::unique_ptr<Wire> wire_;  // on the heap: the reader refers to it
  MessageReader<false> reader_;
  Headers headers_;
  std::chrono::milliseconds body_timeout_;
  bool taken_ = false;
};

}  // namespace

// The connection goes back to the client when its answer was read to the end.
WireResponse::~WireResponse() {
  auto pool = pool_.lock();
  if (taken_ || !pool || !wire_->stream || !reader_.parser().is_header_done() || !reader_.done())
    return;
  if (!reader_.parser().keep_alive() || pool->idle.size() >= idle_connections_max) return;
  pool->idle.push_back(std::move(*wire_));
}

namespace {

std::string serialize_head(const ClientRequest& request, const std::string& host) {
  Headers headers = request.headers;
  if (!headers.has("Host")) headers.set("Host", host);
  if (request.source) {
    if (request.content_length) {
      headers.set("Content-Length", std::to_string(*request.content_length));
    } else {
      headers.set("Transfer-Encoding", "chunked");
    }
  } else if (!request.body.empty() || request.method == "POST" || request.method == "PUT" ||
             request.method == "PATCH") {
    headers.set("Content-Length", std::to_string(request.body.size()));
  }
  return fmt::format("{} {} HTTP/1.1\r\n", request.method, request.target) +
         serialize_fields(headers);
}

asio::awaitable<Result<void>> send_request(Stream& stream, const ClientRequest& request,
                                           const std::string& host) {
  std::string head = serialize_head(request, host);
  if (!request.source) {
    head += request.body;
    co_return co_await stream.write(head);
  }
  LAB_CO_CHECK(co_await stream.write(head));
  for (;;) {
    LAB_CO_TRY(std::string piece, co_await request.source());
    if (piece.empty()) break;
    if (!request.content_length) piece = chunk_of(piece);
    LAB_CO_CHECK(co_await stream.write(piece));
  }
  if (!request.content_length) LAB_CO_CHECK(co_await stream.write(last_chunk));
  co_return Result<void>{};
}

asio::awaitable<Result<std::unique_ptr<ClientResponse>>> exchange(
    std::shared_ptr<Client::Impl> impl, Wire wire, const ClientRequest& request) {
  auto response = std::make_unique<WireResponse>(impl, std::move(wire), request.body_timeout);
  Stream* stream = response->wire().stream.get();
  Deadline deadline(impl->executor, request.timeout, [stream] { stream->close(); });
  if (request.method == "HEAD") response->reader().parser().skip(true);
  std::string host = impl->host_header();
  Result<void> sent = co_await send_request(*stream, request, host);
  Result<bool> head = false;
  // A server may answer (413, 401) before it has read the whole body, so a failed write still
  // reads.
  head = co_await response->reader().read_head();
  if (deadline.end()) {
    co_return make_error(Code::deadline_exceeded, "{} {} at {}: no answer within {} ms",
                         request.method, request.target, host, request.timeout.count());
  }
  if (!head) co_return head.error().wrap("{} {}", request.method, request.target);
  if (!*head) {
    if (!sent) co_return sent.error().wrap("{} {}", request.method, request.target);
    co_return make_error(Code::unavailable, "{} {}: {} closed the connection without an answer",
                         request.method, request.target, host);
  }
  response->keep_headers();
  co_return std::unique_ptr<ClientResponse>(std::move(response));
}

asio::awaitable<void> fetch_into(Client& client, ClientRequest request, Result<Response>& result) {
  result = co_await client.fetch(std::move(request));
}

}  // namespace

Client::Client(asio::any_io_executor executor, Endpoint endpoint)
    : impl_(std::make_shared<Impl>(Impl{std::move(executor), std::move(endpoint), {}})) {}
Client::Client(Client&&) noexcept = default;
Client& Client::operator=(Client&&) noexcept = default;
Client::~Client() = default;

asio::awaitable<Result<std::unique_ptr<ClientResponse>>> Client::send(ClientRequest request) {
  auto impl = impl_;
  // A kept connection may have been closed by the server in the meantime; then a fresh one is
  // tried. A request that must not arrive twice, or whose body comes from a source, always gets a
  // fresh one.
  bool repeatable = !request.source && request.method != "POST" && request.method != "PATCH";
  if (repeatable && !impl->idle.empty()) {
    Wire wire = std::move(impl->idle.back());
    impl->idle.pop_back();
    auto response = co_await exchange(impl, std::move(wire), request);
    if (response || response.error().code != Code::unavailable) co_return response;
  }
  LAB_CO_TRY(Wire wire, co_await impl->connect(request.timeout));
  co_return co_await exchange(impl, std::move(wire), request);
}

asio::awaitable<Result<Response>> Client::fetch(ClientRequest request) {
  LAB_CO_TRY(auto streamed, co_await send(std::move(request)));
  Response response;
  response.status = streamed->status();
  response.headers = streamed->headers();
  LAB_CO_TRY(response.body, co_await streamed->read_all());
  co_return response;
}

Result<Response> fetch_blocking(Endpoint endpoint, ClientRequest request) {
  asio::io_context loop(1);
  Client client(loop.get_executor(), std::move(endpoint));
  Result<Response> result = make_error(Code::internal, "the request did not run");
  asio::co_spawn(loop, fetch_into(client, std::move(request), result),
                 [](std::exception_ptr exception) {
                   if (exception) std::rethrow_exception(exception);
                 });
  loop.run();
  return result;
}

}  // namespace lab::http
