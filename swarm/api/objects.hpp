// The swarm's objects in the JSON of Docker's API v1.41, and back. Field names, order and what is
// left out when empty are dockerd 20.10's.
#pragma once

#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <string>

#include "base/error.hpp"
#include "swarm/node/node.hpp"
#include "swarm/proto/objects.pb.h"

namespace lab::swarm::api {

// Certificate facts that every node's and the swarm's JSON repeat.
[[nodiscard]] boost::json::object tls_info(const proto::Cluster& cluster);

// `status`: of a member of the Raft group, with what only the leader knows; else null.
[[nodiscard]] boost::json::object node_json(const proto::Node& node, const proto::Cluster& cluster,
                                            const proto::ManagerStatus* status);

// As in `GET /info`; `GET /swarm` adds the join tokens.
[[nodiscard]] boost::json::object cluster_json(const proto::Cluster& cluster);
[[nodiscard]] boost::json::object swarm_json(const proto::Cluster& cluster);

// Body of a node update. `invalid Role: "x"` and the like for what dockerd refuses.
[[nodiscard]] Result<proto::NodeSpec> parse_node_spec(const boost::json::object& body);

// Puts the values that `spec` names over `base`: zero and absent ones leave it as it is.
[[nodiscard]] Result<proto::ClusterSpec> parse_cluster_spec(const boost::json::object& spec,
                                                            proto::ClusterSpec base);

[[nodiscard]] Result<proto::Availability> parse_availability(const std::string& text);

}  // namespace lab::swarm::api
