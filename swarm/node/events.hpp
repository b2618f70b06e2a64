// What happens to a node, and what it wants done: the two sides of Node::step().
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "base/error.hpp"
#include "swarm/proto/wire.pb.h"
#include "swarm/raft/log_store.hpp"
#include "swarm/types.hpp"

namespace lab::swarm {

// ---- Events

struct Tick {};

struct Received {
  Endpoint from;
  proto::Envelope message;
};

// The log store completed a ticket.
struct Stored {
  raft::Ticket ticket = 0;
  Result<void> status;
};

// `docker swarm init`: the key and certificate of node_id (role manager) are on disk already.
// Answer comes when the swarm's first write is committed.
struct Init {
  std::uint64_t request = 0;
  std::string node_id;
  proto::Cluster cluster;  // default_cluster(), with root_ca complete
  proto::Availability availability = proto::AVAILABILITY_ACTIVE;
  std::string advertise_address;  // "192.168.50.4:2377"
  std::string certificate_pem;
  std::int64_t certificate_expires_at_ns = 0;
};

// `docker swarm join`. The transport must already accept only managers whose root certificate has
// the token's digest. Answer comes when the node has its certificate; a manager then goes on to
// join the Raft group by itself.
struct Join {
  std::uint64_t request = 0;
  std::string token;
  std::vector<std::string> managers;  // addresses to try
  proto::Availability availability = proto::AVAILABILITY_ACTIVE;
  std::string advertise_address;
};

// `docker swarm leave`: afterwards the node is inactive; its key and certificate are to be removed
// by the caller when the answer comes. A manager needs `force`.
struct Leave {
  std::uint64_t request = 0;
  bool force = false;
};

// A write asked for by an API client of this node (a manager; `unavailable` elsewhere).
struct Control {
  std::uint64_t request = 0;
  proto::ControlRequest body;
};

// Answer to the effect MakeCsr.
struct CsrMade {
  std::uint64_t ticket = 0;
  std::string csr_pem;
};

// What the agent reports about its machine; again whenever it changes.
struct Described {
  proto::NodeDescription description;
};

using Event = std::variant<Tick, Received, Stored, Init, Join, Leave, Control, CsrMade, Described>;

// ---- Effects

struct Send {
  Endpoint to;
  proto::Envelope message;
};

struct SaveLocalState {
  proto::LocalState state;  // without a node id: remove it, the node is inactive
};

// Make a new key and a request for it; keep the key aside until InstallCertificate names the
// ticket (or forget it when another MakeCsr comes). Answered by the event CsrMade.
struct MakeCsr {
  std::uint64_t ticket = 0;
};

// The certificate for the key of `ticket`: keep both durably, use them for new connections from
// now on, and close the connections made with the old one (after a change of role the other side
// must see the new role).
struct InstallCertificate {
  std::uint64_t ticket = 0;
  std::string certificate_pem;
  std::string root_certificate_pem;
  std::string node_id;
  proto::Role role = proto::ROLE_WORKER;
};

// Close all connections with this node, and refuse it until admitted() says otherwise.
struct Disconnect {
  std::string node_id;
};

// The node can't go on (a failed write, a damaged log): the process must end and start again.
struct Fatal {
  std::string message;
};

// Ends the Init, Join, Leave or Control of that number. The response is empty for all but Control.
struct Answer {
  std::uint64_t request = 0;
  Result<proto::ControlResponse> response;
};

using Effect =
    std::variant<Send, SaveLocalState, MakeCsr, InstallCertificate, Disconnect, Answer, Fatal>;
using Effects = std::vector<Effect>;

// Where the cores below Node put their effects.
class Outbox {
 public:
  void add(Effect effect) { effects_.push_back(std::move(effect)); }
  void send(Endpoint to, proto::Envelope message) { add(Send{std::move(to), std::move(message)}); }
  [[nodiscard]] Effects take() { return std::exchange(effects_, {}); }

 private:
  Effects effects_;
};

}  // namespace lab::swarm
