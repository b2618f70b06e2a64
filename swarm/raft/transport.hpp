// How a Raft member sends a message to another. Fire and forget: a message may be lost, repeated,
// late or overtaken; the sender never learns. What arrives is handed to Member::receive().
#pragma once

#include "swarm/proto/wire.pb.h"

namespace lab::swarm::raft {

class Transport {
 public:
  virtual ~Transport() = default;
  // message.to() and `address` name the receiver, message.from() and from_address() the sender.
  virtual void send(const std::string& address, proto::RaftMessage message) = 0;
};

}  // namespace lab::swarm::raft
