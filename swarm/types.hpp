// Words shared by the swarm's cores: the time they are told, and who they talk to.
#pragma once

#include <cstdint>
#include <string>

#include "base/clock.hpp"
#include "swarm/proto/objects.pb.h"

namespace lab::swarm {

// The time of a step: the monotonic one for deadlines, the calendar's for what is stored and for
// certificates.
struct Now {
  TimePoint monotonic;
  WallTime wall;
};

[[nodiscard]] constexpr std::int64_t to_unix_ns(WallTime time) {
  return time.time_since_epoch().count();
}

// Who sent a message, or who is to get one.
//
// Received: node_id and role are what the peer's certificate says (chain, expiry and key checked by
// the transport); an empty node_id is a peer without a certificate, which may only ask for one.
// `connection` names the connection, `address` is where it comes from (for messages only).
//
// To send: the transport uses `connection` if that is not 0; else a live connection with node_id,
// in either direction; else it dials `address`, expecting a certificate of node_id (any manager of
// the swarm when node_id is empty). With no way to the peer the message is dropped.
struct Endpoint {
  std::string node_id;
  std::string address;
  std::uint64_t connection = 0;
  proto::Role role = proto::ROLE_WORKER;
};

}  // namespace lab::swarm
