// Links between containers on the default bridge: `docker run --link NAME:ALIAS`.
#pragma once

#include <string>
#include <vector>

#include "engine/container/containers.hpp"

namespace lab::engine::container {

// One entry of HostConfig.Links: "NAME" or "NAME:ALIAS".
struct Link {
  std::string target;
  std::string alias;
};
// Code::internal "bad format for links: x".
[[nodiscard]] Result<Link> parse_link(const std::string& text);

// What a linked container is told in its environment: ALIAS_PORT, ALIAS_PORT_80_TCP_ADDR,
// ALIAS_NAME, ALIAS_ENV_x. Targets that do not run are left out.
[[nodiscard]] std::vector<std::string> link_environment(const Containers& containers,
                                                        const Container& container);

// HostConfig.Links as documents show it: "/TARGET:/CONTAINER/ALIAS" on the default bridge, null
// elsewhere, where links are a matter of the network.
[[nodiscard]] boost::json::value shown_links(const Containers& containers,
                                             const Container& container);

}  // namespace lab::engine::container
