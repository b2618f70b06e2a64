// What a node says about its machine: host name, platform, resources, and what the container
// engine on it says about itself.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <string>

#include "base/error.hpp"
#include "swarm/proto/objects.pb.h"

namespace lab::swarm::daemon {

// From the kernel alone.
[[nodiscard]] proto::NodeDescription describe_machine();

// The same with what `GET /info` on the engine's socket answers (version, plugins, labels).
[[nodiscard]] boost::asio::awaitable<Result<proto::NodeDescription>> describe_with_engine(
    std::string engine_socket);

// The part taken from the body of `GET /info`, put over `base`.
[[nodiscard]] Result<proto::NodeDescription> add_engine_info(proto::NodeDescription base,
                                                             const std::string& info_json);

}  // namespace lab::swarm::daemon
