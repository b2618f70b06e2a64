// The parameters of POST /build.
#pragma once

#include <string>

#include "base/error.hpp"
#include "base/http.hpp"
#include "engine/build/builder.hpp"

namespace lab::engine::build {

struct BuildRequest {
  BuildOptions options;
  std::string remote;  // a URL instead of the body
  bool quiet = false;
};

// Code::invalid_argument with dockerd's texts. `experimental` allows squash.
[[nodiscard]] Result<BuildRequest> read_build_request(const http::Request& request,
                                                      bool experimental);

}  // namespace lab::engine::build
