// An exchange with Docker's headers on every answer, and what handlers share.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/json/object.hpp>
#include <string>

#include "base/http_server.hpp"
#include "engine/engine.hpp"
#include "engine/events/events.hpp"

namespace lab::engine::api {

inline constexpr const char* api_version = "1.41";
inline constexpr const char* api_version_min = "1.24";

// Passes everything on and adds Api-Version, Docker-Experimental, Ostype and Server.
class DockerExchange final : public http::Exchange {
 public:
  DockerExchange(http::Exchange& inner, bool experimental)
      : inner_(inner), experimental_(experimental) {}

  const http::Request& request() const override { return inner_.request(); }
  const std::string& parameter(std::string_view name) const override {
    return inner_.parameter(name);
  }
  void set_parameters(std::map<std::string, std::string, std::less<>> parameters) override {
    inner_.set_parameters(std::move(parameters));
  }
  boost::asio::awaitable<Result<std::size_t>> read_some(
      boost::asio::mutable_buffer buffer) override {
    return inner_.read_some(buffer);
  }
  boost::asio::awaitable<Result<std::string>> read_all(std::size_t bytes_max) override {
    return inner_.read_all(bytes_max);
  }
  boost::asio::awaitable<Result<void>> respond(http::Response response) override;
  boost::asio::awaitable<Result<void>> start(int status, http::Headers headers) override;
  boost::asio::awaitable<Result<void>> write(std::string_view bytes) override {
    return inner_.write(bytes);
  }
  boost::asio::awaitable<Result<void>> finish() override { return inner_.finish(); }
  bool started() const override { return inner_.started(); }
  boost::asio::awaitable<Result<StreamPtr>> hijack(int status, http::Headers headers) override;
  boost::asio::awaitable<void> client_gone() override { return inner_.client_gone(); }
  std::string peer_address() const override { return inner_.peer_address(); }
  std::string peer_certificate_pem() const override { return inner_.peer_certificate_pem(); }

 private:
  http::Exchange& inner_;
  bool experimental_;
};

using Route = boost::asio::awaitable<Result<void>> (*)(Engine&, http::Exchange&);
void add_route(http::Router& router, Engine& engine, std::string_view method,
               std::string_view pattern, Route route);

// The body as a JSON object of one of request_types(); null is an empty one. With Docker's texts;
// what does not parse or fit is an error with the code `malformed`, as the endpoint has it.
[[nodiscard]] boost::asio::awaitable<Result<boost::json::object>> read_body(
    http::Exchange& exchange, std::string_view type, Code malformed = Code::internal);
// A parameter of the query that is a whole number, as Go's strconv.Atoi reads it: without one an
// error with the code `malformed`.
[[nodiscard]] Result<std::int64_t> read_number(const http::Query& query, std::string_view name,
                                               Code malformed = Code::internal);
[[nodiscard]] boost::asio::awaitable<Result<void>> respond_json(http::Exchange& exchange,
                                                                int status,
                                                                boost::json::value body);
[[nodiscard]] boost::asio::awaitable<Result<void>> respond_status(http::Exchange& exchange,
                                                                  int status);

// The query's "filters": {"name": {"value": true}} or {"name": ["value"]}.
[[nodiscard]] Result<Filters> read_filters(const http::Query& query);
// "1136073600.000000001", "2006-01-02T15:04:05Z", or how long ago: "10m", "1h30m".
[[nodiscard]] Result<WallTime> parse_time(const std::string& text, WallTime now);
// As parse_time() but for durations; empty and "0" give nothing.
[[nodiscard]] Result<std::optional<WallTime>> read_time(const http::Query& query,
                                                        std::string_view name);

// 101 when the client asked for an upgrade, else 200: Docker's hijacked connections.
[[nodiscard]] boost::asio::awaitable<Result<std::shared_ptr<Stream>>> hijack_raw(
    http::Exchange& exchange);

// Runs `stream` until it ends or the client has closed its connection.
[[nodiscard]] boost::asio::awaitable<Result<void>> until_client_gone(
    http::Exchange& exchange, boost::asio::awaitable<Result<void>> stream);

}  // namespace lab::engine::api
