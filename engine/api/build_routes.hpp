// POST /build, POST /build/prune and POST /commit: what makes images of files and containers.
#pragma once

#include "base/http_server.hpp"
#include "engine/engine.hpp"
#include "engine/registry/pull.hpp"

namespace lab::engine::api {

// All of it outlives the router's server.
struct BuildParts {
  Engine& engine;
  registry::Puller& puller;
};
void add_build_routes(http::Router& router, BuildParts parts);

}  // namespace lab::engine::api
