#include <sys/socket.h>

#include <boost/asio/experimental/awaitable_operators.hpp>
#include <charconv>

#include "engine/api/exchange.hpp"
#include "engine/api/routes.hpp"
#include "engine/api/version.hpp"
#include "engine/api/web_socket.hpp"
#include "engine/container/attach.hpp"
#include "engine/container/inspect.hpp"
#include "engine/container/logs.hpp"
#include "engine/util/json.hpp"

namespace lab::engine::api {

namespace asio = boost::asio;
namespace json = boost::json;

using container::ContainerPtr;
using container::LogEntry;

namespace {

// From the end of a container's process until its monitor has told of it.
constexpr std::chrono::seconds ended_wait{10};
// A process this young may have ended in a moment.
constexpr std::chrono::milliseconds young_process{100};

struct LogsRequest {
  bool output = false;
  bool errors = false;
  bool follow = false;
  bool timestamps = false;
  bool details = false;
  bool framed = true;
  std::optional<std::uint64_t> tail;
  std::optional<WallTime> since;
  std::optional<WallTime> until;
};

// Turns log entries into what the client gets.
class LogFormatter {
 public:
  explicit LogFormatter(LogsRequest request) : request_(std::move(request)) {}

  void append(std::string& out, const LogEntry& entry) {
    bool begins = std::exchange(begins_[entry.stream], !entry.partial);
    if (entry.stream == container::standard_error ? !request_.errors : !request_.output) return;
    if (request_.since && entry.time < *request_.since) return;
    if (request_.until && entry.time > *request_.until) return;
    std::string stamp;
    if (request_.timestamps && begins) stamp = format_rfc3339(entry.time) + " ";
    if (request_.details && begins) stamp += " ";  // attributes, of which there are none
    if (request_.framed) {
      out += container::stream_frame(entry.stream, stamp + std::string(entry.text));
    } else {
      out += stamp;
      out += entry.text;
    }
  }

 private:
  LogsRequest request_;
  std::array<bool, 3> begins_{true, true, true};
};

using Write = std::function<asio::awaitable<Result<void>>(std::string_view)>;

// Until the log has been sent; with `follow`, until the container has stopped too or the time
// `until` has come.
asio::awaitable<Result<void>> send_logs(Engine& engine, ContainerPtr container, LogsRequest request,
                                        Write write) {
  using namespace asio::experimental::awaitable_operators;
  std::filesystem::path path = engine.containers().log_path(container->id);
  Result<container::LogReader> reader = container::LogReader::open(path);
  if (!reader) {
    if (reader.error().code == Code::not_found) co_return Result<void>();
    co_return std::move(reader).error();
  }
  if (request.tail) LAB_CO_CHECK(reader->seek_tail(*request.tail));
  LAB_CO_TRY(container::FileWatch watch, container::FileWatch::open(engine.executor(), path));
  LogFormatter formatter(request);
  for (;;) {
    const WallTime now = engine.clock().wall_now();
    bool over =
        !request.follow || !container->state.running || (request.until && now > *request.until);
    LAB_CO_TRY(std::vector<LogEntry> entries, reader->read());
    if (!entries.empty()) {
      std::string out;
      for (const LogEntry& entry : entries) formatter.append(out, entry);
      if (!out.empty()) LAB_CO_CHECK(co_await write(out));
      continue;
    }
    if (over) co_return Result<void>();
    TimePoint deadline = TimePoint::max();
    if (request.until) deadline = engine.clock().now() + (*request.until - now);
    co_await (watch.wait() || container->changed.wait_until(deadline));
  }
}

Result<LogsRequest> read_logs_request(const http::Query& query, const ContainerPtr& container) {
  LogsRequest request;
  request.output = query.flag("stdout");
  request.errors = query.flag("stderr");
  request.follow = query.flag("follow");
  request.timestamps = query.flag("timestamps");
  request.details = query.flag("details");
  request.framed = !container->has_terminal();
  if (!request.output && !request.errors) {
    return make_error(Code::invalid_argument,
                      "Bad parameters: you must choose at least one stream");
  }
  std::string tail = query.get("tail", "all");
  std::uint64_t lines = 0;
  if (tail != "all" &&
      std::from_chars(tail.data(), tail.data() + tail.size(), lines).ec == std::errc())
    request.tail = lines;
  LAB_TRY(request.since, read_time(query, "since"));
  LAB_TRY(request.until, read_time(query, "until"));
  return request;
}

asio::awaitable<Result<void>> logs(Engine& engine, http::Exchange& exchange) {
  LAB_CO_TRY(ContainerPtr container, engine.containers().find(exchange.parameter("id")));
  LAB_CO_TRY(LogsRequest request, read_logs_request(exchange.request().query, container));
  if (text_of(object_of(container->host_config, "LogConfig"), "Type") == "none") {
    co_return make_error(Code::unsupported, "configured logging driver does not support reading");
  }
  LAB_CO_CHECK(co_await exchange.read_all());
  http::Headers headers{{"Content-Type", "application/vnd.docker.raw-stream"}};
  LAB_CO_CHECK(co_await exchange.start(200, std::move(headers)));
  Write write = [&exchange](std::string_view bytes) { return exchange.write(bytes); };
  LAB_CO_CHECK(co_await until_client_gone(
      exchange, send_logs(engine, container, std::move(request), std::move(write))));
  co_return co_await exchange.finish();
}

// What the container wrote, or what it wrote since then.
asio::awaitable<Result<void>> replay_logs(Engine& engine, ContainerPtr container,
                                          std::shared_ptr<Stream> client,
                                          container::AttachOptions options,
                                          std::optional<WallTime> since) {
  LogsRequest request;
  request.since = since;
  request.output = options.output;
  request.errors = options.errors;
  request.framed = options.framed;
  Write write = [client](std::string_view bytes) { return client->write(bytes); };
  co_return co_await send_logs(engine, container, std::move(request), std::move(write));
}

// Errors of an attach come raw, as what was asked for would have.
asio::awaitable<Result<void>> refuse_attach(http::Exchange& exchange, Error error) {
  http::Response response;
  response.status = http_status(error.code);
  response.headers.set("Content-Type", "application/vnd.docker.raw-stream");
  response.body = error.message + "\r\n";
  co_return co_await exchange.respond(std::move(response));
}

// The container to attach to, or why it cannot be.
Result<ContainerPtr> find_attachable(Engine& engine, const std::string& name) {
  LAB_TRY(ContainerPtr container, engine.containers().find(name));
  if (container->state.paused) {
    return make_error(Code::conflict, "container {} is paused, unpause the container before attach",
                      name);
  }
  if (container->state.restarting) {
    return make_error(Code::conflict,
                      "container {} is restarting, wait until the container is running", name);
  }
  return container;
}

struct AttachRequest {
  ContainerPtr container;
  container::AttachOptions options;
  bool replay = false;
  bool stream = false;
};

// What both ways to attach have in common; the streams are the caller's choice.
Result<AttachRequest> read_attach_request(Engine& engine, const http::Exchange& exchange) {
  const http::Query& query = exchange.request().query;
  AttachRequest request;
  const std::string keys = query.get("detachKeys");
  Result<container::DetachKeys> detach_keys = container::DetachKeys::parse(keys);
  if (!detach_keys)
    return make_error(Code::invalid_argument, "Invalid detach keys ({}) provided", keys);
  request.options.detach_keys = std::move(*detach_keys);
  LAB_TRY(request.container, find_attachable(engine, exchange.parameter("id")));
  request.options.terminal = request.container->has_terminal();
  request.replay = query.flag("logs");
  request.stream = query.flag("stream");
  return request;
}

bool has_data(const Fd& socket) {
  char byte = 0;
  return socket && recv(socket.get(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

// Until when the container's process is young.
TimePoint young_until(Engine& engine, const container::Container& container) {
  const TimePoint now = engine.clock().now();
  Result<WallTime> started = container::parse_rfc3339(container.state.started_at);
  if (!started) return now;
  return now + (*started + young_process - engine.clock().wall_now());
}

// Returns when the process is no longer young, or has ended and its monitor has told of it.
//
// On dockerd, whose start takes longer than a short command, a client that attaches after the start
// finds a container that has ended, and some then start it again (docker-compose run without a
// docker client). Here they would meet the command's last moments, between its output and its end,
// and get nothing.
asio::awaitable<void> watch_young(Engine& engine, ContainerPtr container) {
  const container::State& state = container->state;
  const TimePoint grown = young_until(engine, *container);
  const TimePoint deadline = engine.clock().now() + ended_wait;
  while (state.running) {
    const TimePoint now = engine.clock().now();
    if (now >= deadline || (now >= grown && state.process.alive())) break;
    co_await container->changed.wait_until(now < grown ? grown : deadline);
  }
}

// Gives the session the streams of the process that runs. Of one that has ended with nothing left
// to come, or never ran: those of the next one.
asio::awaitable<void> join_streams(Engine& engine, ContainerPtr container,
                                   std::shared_ptr<container::AttachSession> session, bool replay) {
  Fd socket;
  if (container->state.running) {
    Result<Fd> connected = container::connect_attach_socket(
        engine.containers().services().runtime.bundle(container->id));
    if (connected) socket = std::move(*connected);
    if (!replay) co_await watch_young(engine, container);  // else the log has it all
  }
  if (container->state.running ? static_cast<bool>(socket) : has_data(socket)) {
    session->connected(std::move(socket));
  } else if (container->state.running) {
    session->abandon();
  } else {
    container->waiting_sessions.push_back(session);
  }
}

using OpenClient = asio::awaitable<Result<std::shared_ptr<Stream>>> (*)(http::Exchange&);

asio::awaitable<Result<void>> serve_attach(Engine& engine, http::Exchange& exchange,
                                           AttachRequest request, OpenClient open) {
  ContainerPtr container = request.container;
  const WallTime asked = engine.clock().wall_now();
  auto session = std::make_shared<container::AttachSession>(engine.executor(), request.options);
  // Connected or registered before the answer: whoever sees it may start the container.
  if (request.stream) co_await join_streams(engine, container, session, request.replay);
  LAB_CO_TRY(std::shared_ptr<Stream> client, co_await open(exchange));
  engine.containers().emit(*container, "attach");
  if (request.replay)
    LAB_CO_CHECK(co_await replay_logs(engine, container, client, request.options, std::nullopt));
  if (!request.stream) {
    co_await container::close_client(client);
    co_return Result<void>();
  }
  bool detached = co_await session->run(client, engine.execs().background());
  // A monitor that is busy with a process's last words takes up its clients after them, and says
  // nothing to them; but they are in the log.
  if (!detached && !request.replay && !session->has_carried())
    static_cast<void>(co_await replay_logs(engine, container, client, request.options, asked));
  co_await container::close_client(client);
  if (detached) engine.containers().emit(*container, "detach");
  co_return Result<void>();
}

asio::awaitable<Result<void>> attach(Engine& engine, http::Exchange& exchange) {
  Result<AttachRequest> request = read_attach_request(engine, exchange);
  if (!request) co_return co_await refuse_attach(exchange, std::move(request).error());
  const http::Query& query = exchange.request().query;
  container::AttachOptions& options = request->options;
  options.output = query.flag("stdout");
  options.errors = query.flag("stderr");
  options.standard_input = query.flag("stdin") && flag_of(request->container->config, "OpenStdin");
  options.framed = !options.terminal;
  co_return co_await serve_attach(engine, exchange, std::move(*request), hijack_raw);
}

asio::awaitable<Result<std::shared_ptr<Stream>>> open_web_socket(http::Exchange& exchange) {
  return hijack_web_socket(exchange, WebSocketPayload::binary);
}

// Version 1.27 and older.
asio::awaitable<Result<std::shared_ptr<Stream>>> open_text_web_socket(http::Exchange& exchange) {
  return hijack_web_socket(exchange, WebSocketPayload::text);
}

// All streams without frames, whatever the query says of them: as dockerd 20.10 has it.
asio::awaitable<Result<void>> attach_web_socket(Engine& engine, http::Exchange& exchange) {
  LAB_CO_TRY(AttachRequest request, read_attach_request(engine, exchange));
  request.options.output = request.options.errors = true;
  request.options.standard_input = flag_of(request.container->config, "OpenStdin");
  const OpenClient open = older_than(exchange, {1, 28}) ? open_text_web_socket : open_web_socket;
  co_return co_await serve_attach(engine, exchange, std::move(request), open);
}

}  // namespace

void add_stream_routes(http::Router& router, Engine& engine) {
  add_route(router, engine, "GET", "/containers/{id}/logs", logs);
  add_route(router, engine, "POST", "/containers/{id}/attach", attach);
  add_route(router, engine, "GET", "/containers/{id}/attach/ws", attach_web_socket);
}

}  // namespace lab::engine::api
