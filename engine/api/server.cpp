#include "engine/api/server.hpp"

#include <unistd.h>

#include <charconv>
#include <cstdlib>

#include "base/file.hpp"
#include "base/log.hpp"
#include "engine/api/build_routes.hpp"
#include "engine/api/exchange.hpp"
#include "engine/api/routes.hpp"
#include "engine/api/version.hpp"

namespace lab::engine::api {

namespace asio = boost::asio;

namespace {

// Of "/v1.41/containers/json"; nothing for a path without a version.
std::optional<std::string_view> version_of(std::string_view path) {
  if (path.size() < 4 || !path.starts_with("/v") || path[2] < '0' || path[2] > '9') return {};
  return path.substr(2, path.find('/', 2) - 2);
}

Result<void> check_version(std::string_view path) {
  std::optional<std::string_view> text = version_of(path);
  if (!text) return {};
  std::optional<Version> version = parse_version(*text);
  if (!version) return {};
  if (*version > *parse_version(api_version)) {
    return make_error(Code::invalid_argument,
                      "client version {} is too new. Maximum supported API version is {}", *text,
                      api_version);
  }
  if (*version < *parse_version(api_version_min)) {
    return make_error(Code::invalid_argument,
                      "client version {} is too old. Minimum supported API version is {}, please "
                      "upgrade your client to a newer version",
                      *text, api_version_min);
  }
  return {};
}

// Without the values of parameters that may hold a password or token: arguments of a build, and the
// addresses that contexts and images come from.
std::string loggable(const std::string& target) {
  std::string text = target;
  for (const char* name : {"buildargs=", "remote=", "fromSrc="}) {
    for (const char before : {'?', '&'}) {
      std::size_t at = text.find(before + std::string(name));
      if (at == std::string::npos) continue;
      at = text.find('=', at) + 1;
      text.replace(at, std::min(text.find('&', at), text.size()) - at, "...");
    }
  }
  return text;
}

// systemd hands over sockets from descriptor 3 on.
constexpr int first_inherited = 3;

}  // namespace

ApiServer::ApiServer(Engine& engine)
    : engine_(engine),
      router_(true),
      images_(engine.executor(), engine.images(), engine.config().registry, engine.clock()),
      server_(engine.executor(), [this](http::Exchange& exchange) { return handle(exchange); }) {
  add_system_routes(router_, engine);
  add_container_routes(router_, engine);
  add_stream_routes(router_, engine);
  add_exec_routes(router_, engine);
  add_copy_routes(router_, engine);
  add_resource_routes(router_, engine);
  add_network_routes(router_, engine);
  add_volume_routes(router_, engine);
  add_usage_routes(router_, engine);
  add_swarm_routes(router_, engine);
  images_.add_to(router_);
  add_build_routes(router_, BuildParts{engine, images_.puller()});
}

asio::awaitable<Result<void>> ApiServer::handle(http::Exchange& plain) {
  DockerExchange exchange(plain, engine_.config().experimental);
  const http::Request& request = plain.request();
  log::debug("{} {}", request.method, loggable(request.target));
  Result<void> result = check_version(request.path);
  if (result) result = co_await router_(exchange);
  if (result || exchange.started()) co_return result;
  const Error& error = result.error();
  if (error.code == Code::internal)
    log::warning("{} {}: {}", request.method, request.path, error.message);
  http::Response response = http::error_response(error);
  if (error.code == Code::not_modified) {
    response.body.clear();
    response.headers.remove("Content-Type");
  }
  co_return co_await exchange.respond(std::move(response));
}

Result<void> ApiServer::listen_tcp(const std::string& address) {
  std::size_t colon = address.rfind(':');
  std::uint16_t port = 0;
  if (colon == std::string::npos ||
      std::from_chars(address.data() + colon + 1, address.data() + address.size(), port).ec !=
          std::errc())
    return make_error(Code::invalid_argument, "invalid host tcp://{}", address);
  std::string host = address.substr(0, colon);
  const DaemonConfig& config = engine_.config();
  if (!config.tls_verify) {
    return make_error(Code::invalid_argument,
                      "tcp://{}: the API gives root on this machine, so over TCP it is served "
                      "with mutual TLS only (--tlsverify --tlscacert --tlscert --tlskey)",
                      address);
  }
  tls::Options options;
  LAB_TRY(std::string authority, read_file(config.tls_ca_certificate));
  LAB_TRY(options.certificate_pem, read_file(config.tls_certificate));
  LAB_TRY(options.private_key_pem, read_file(config.tls_key));
  options.authorities_pem.push_back(std::move(authority));
  options.require_peer_certificate = true;
  LAB_TRY(tls::Context context, tls::Context::server(options));
  LAB_CHECK(server_.listen_tcp(host.empty() ? "0.0.0.0" : host, port, context));
  return {};
}

Result<void> ApiServer::listen_inherited() {
  const char* pid = std::getenv("LISTEN_PID");
  const char* count = std::getenv("LISTEN_FDS");
  if (pid == nullptr || count == nullptr || std::atoi(pid) != getpid()) {
    return make_error(Code::invalid_argument,
                      "no sockets found via socket activation: make sure the service was started "
                      "by systemd");
  }
  for (int i = 0; i < std::atoi(count); ++i) LAB_CHECK(server_.listen_fd(first_inherited + i));
  return {};
}

Result<void> ApiServer::listen(const std::string& host) {
  if (host.starts_with("unix://"))
    return server_.listen_unix(host.substr(7), 0660, engine_.config().group);
  if (host.starts_with("/")) return server_.listen_unix(host, 0660, engine_.config().group);
  if (host.starts_with("tcp://")) return listen_tcp(host.substr(6));
  if (host.starts_with("fd://")) return listen_inherited();
  return make_error(Code::invalid_argument, "unable to parse docker host `{}`", host);
}

}  // namespace lab::engine::api
