// The parts of the Docker Engine API, each adding its endpoints to the router. The engine outlives
// the router's server.
#pragma once

#include "base/http_server.hpp"
#include "engine/engine.hpp"

namespace lab::engine::api {

void add_system_routes(http::Router& router, Engine& engine);
void add_container_routes(http::Router& router, Engine& engine);
void add_stream_routes(http::Router& router, Engine& engine);
void add_exec_routes(http::Router& router, Engine& engine);
void add_copy_routes(http::Router& router, Engine& engine);
void add_resource_routes(http::Router& router, Engine& engine);
void add_network_routes(http::Router& router, Engine& engine);
void add_volume_routes(http::Router& router, Engine& engine);
void add_usage_routes(http::Router& router, Engine& engine);
// What swarmd answers.
void add_swarm_routes(http::Router& router, Engine& engine);

// The `Swarm` object of GET /info.
[[nodiscard]] boost::asio::awaitable<boost::json::object> swarm_info(Engine& engine);

}  // namespace lab::engine::api
