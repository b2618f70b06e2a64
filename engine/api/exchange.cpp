#include "engine/api/exchange.hpp"

#include <boost/asio/experimental/awaitable_operators.hpp>
#include <charconv>

#include "engine/api/filters.hpp"
#include "engine/api/request_types.hpp"
#include "engine/container/inspect.hpp"
#include "engine/util/go_json.hpp"

namespace lab::engine::api {

namespace asio = boost::asio;
namespace json = boost::json;

namespace {

void add_docker_headers(http::Headers& headers, bool experimental) {
  headers.set("Api-Version", api_version);
  headers.set("Docker-Experimental", experimental ? "true" : "false");
  headers.set("Ostype", "linux");
  headers.set("Server", "engined/" LAB_VERSION " (linux)");
}

}  // namespace

asio::awaitable<Result<void>> DockerExchange::respond(http::Response response) {
  add_docker_headers(response.headers, experimental_);
  co_return co_await inner_.respond(std::move(response));
}

asio::awaitable<Result<void>> DockerExchange::start(int status, http::Headers headers) {
  add_docker_headers(headers, experimental_);
  co_return co_await inner_.start(status, std::move(headers));
}

asio::awaitable<Result<StreamPtr>> DockerExchange::hijack(int status, http::Headers headers) {
  if (status == 101) {
    headers.set("Api-Version", api_version);
  } else {
    add_docker_headers(headers, experimental_);
  }
  co_return co_await inner_.hijack(status, std::move(headers));
}

void add_route(http::Router& router, Engine& engine, std::string_view method,
               std::string_view pattern, Route route) {
  router.add(method, pattern,
             [&engine, route](http::Exchange& exchange) { return route(engine, exchange); });
}

asio::awaitable<Result<json::object>> read_body(http::Exchange& exchange, std::string_view type,
                                                Code malformed) {
  const std::string_view format = exchange.request().headers.get("Content-Type");
  LAB_CO_TRY(const std::string body, co_await exchange.read_all());
  const bool unsaid = format.empty() && body.empty();
  if (!unsaid && format.substr(0, format.find(';')) != "application/json") {
    co_return make_error(Code::invalid_argument,
                         "Content-Type specified ({}) must be 'application/json'", format);
  }
  Result<json::value> value = decode_go_json(body);
  Result<void> fits = value ? check_go_type(request_types(), type, *value) : value.error();
  if (!fits) {
    Error error = std::move(fits).error();
    error.code = malformed;
    if (malformed == Code::invalid_argument && error.message == "EOF")
      error.message = "got EOF while reading request body";
    co_return error;
  }
  co_return value->is_object() ? std::move(value->get_object()) : json::object();
}

Result<std::int64_t> read_number(const http::Query& query, std::string_view name, Code malformed) {
  const std::string text = query.get(name);
  const char* end = text.data() + text.size();
  std::int64_t number = 0;
  const auto [at, failure] = std::from_chars(text.data(), end, number);
  if (failure == std::errc() && at == end) return number;
  return make_error(malformed, "strconv.Atoi: parsing \"{}\": invalid syntax", text);
}

asio::awaitable<Result<void>> respond_json(http::Exchange& exchange, int status, json::value body) {
  http::Response response = http::json_response(status, body);
  co_return co_await exchange.respond(std::move(response));
}

asio::awaitable<Result<void>> respond_status(http::Exchange& exchange, int status) {
  http::Response response;
  response.status = status;
  co_return co_await exchange.respond(std::move(response));
}

Result<Filters> read_filters(const http::Query& query) {
  Filters filters;
  std::string text = query.get("filters");
  if (text.empty()) return filters;
  LAB_TRY(FilterSet set, FilterSet::parse(text));
  for (const auto& [name, values] : set.all()) filters[name] = values;
  return filters;
}

Result<WallTime> parse_time(const std::string& text, WallTime now) {
  if (text.find('T') != std::string::npos) return container::parse_rfc3339(text);
  Error bad = make_error(Code::internal, "strconv.ParseInt: parsing \"{}\": invalid syntax", text);
  const char* at = text.data();
  const char* end = at + text.size();
  std::int64_t number = 0;
  auto parsed = std::from_chars(at, end, number);
  if (parsed.ec != std::errc()) return bad;
  if (parsed.ptr == end || *parsed.ptr == '.') {
    WallTime time{std::chrono::seconds(number)};
    if (parsed.ptr == end) return time;
    std::string fraction(parsed.ptr + 1, end);
    fraction.resize(9, '0');
    std::int64_t nanoseconds = 0;
    std::from_chars(fraction.data(), fraction.data() + fraction.size(), nanoseconds);
    return time + std::chrono::nanoseconds(nanoseconds);
  }
  Duration ago{};
  while (at != end) {
    parsed = std::from_chars(at, end, number);
    if (parsed.ec != std::errc() || parsed.ptr == end) return bad;
    switch (*parsed.ptr) {
      case 'h': ago += std::chrono::hours(number); break;
      case 'm': ago += std::chrono::minutes(number); break;
      case 's': ago += std::chrono::seconds(number); break;
      default: return bad;
    }
    at = parsed.ptr + 1;
  }
  return now - ago;
}

Result<std::optional<WallTime>> read_time(const http::Query& query, std::string_view name) {
  std::string text = query.get(name);
  if (text.empty() || text == "0") return std::optional<WallTime>();
  LAB_TRY(WallTime time, parse_time(text, WallTime()));
  return std::optional<WallTime>(time);
}

asio::awaitable<Result<std::shared_ptr<Stream>>> hijack_raw(http::Exchange& exchange) {
  bool upgrade = exchange.request().headers.has("Upgrade");
  http::Headers headers{{"Content-Type", "application/vnd.docker.raw-stream"}};
  if (upgrade) {
    headers.set("Connection", "Upgrade");
    headers.set("Upgrade", "tcp");
  }
  LAB_CO_TRY(StreamPtr stream, co_await exchange.hijack(upgrade ? 101 : 200, std::move(headers)));
  co_return std::shared_ptr<Stream>(std::move(stream));
}

asio::awaitable<Result<void>> until_client_gone(http::Exchange& exchange,
                                                asio::awaitable<Result<void>> stream) {
  using namespace asio::experimental::awaitable_operators;
  std::variant<Result<void>, std::monostate> first =
      co_await (std::move(stream) || exchange.client_gone());
  if (first.index() == 0) co_return std::get<0>(std::move(first));
  co_return make_error(Code::cancelled, "the client has gone");
}

}  // namespace lab::engine::api
