// The engine's API server: every route behind one handler that checks the version and adds Docker's
// headers.
#pragma once

#include <memory>

#include "base/http_server.hpp"
#include "engine/api/image_routes.hpp"
#include "engine/engine.hpp"

namespace lab::engine::api {

class ApiServer {
 public:
  explicit ApiServer(Engine& engine);
  ApiServer(const ApiServer&) = delete;
  ApiServer& operator=(const ApiServer&) = delete;

  // "unix:///run/docker.sock", "tcp://127.0.0.1:2376" (mutual TLS, or loopback), "fd://" (systemd).
  [[nodiscard]] Result<void> listen(const std::string& host);
  void stop() { server_.stop(); }

 private:
  [[nodiscard]] boost::asio::awaitable<Result<void>> handle(http::Exchange& exchange);
  [[nodiscard]] Result<void> listen_tcp(const std::string& address);
  [[nodiscard]] Result<void> listen_inherited();

  Engine& engine_;
  http::Router router_;
  ImageRoutes images_;
  http::Server server_;
};

}  // namespace lab::engine::api
