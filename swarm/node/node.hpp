// One node of the swarm without any I/O: agent on every node, and on a manager Raft member, store
// and the leader's duties. swarmd wraps it in sockets and files; the simulation in virtual time.
//
//   effects = node.step(now, event);   // for each thing that happened
//   next call at node.next_deadline() at the latest, with Tick.
//
// Effects are to be carried out in their order. SaveLocalState and InstallCertificate must be
// durable before the effects behind them are begun. The log store is called from inside step().
//
// Starting: construct with the LocalState found on disk (none: an inactive node), call start()
// once. A node with a LocalState must hold the certificate that goes with it.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/error.hpp"
#include "base/random.hpp"
#include "swarm/ca/signer.hpp"
#include "swarm/proto/wire.pb.h"
#include "swarm/raft/member.hpp"
#include "swarm/store/store.hpp"
#include "swarm/types.hpp"

namespace lab::swarm {

// SwarmKit's ids: 25 digits of base 36.
[[nodiscard]] std::string new_id(Random& random);

// A new cluster as `docker swarm init` makes it, with Docker's defaults; the root CA is the
// caller's to fill in.
[[nodiscard]] proto::Cluster default_cluster(std::string id);

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

// Ends the Init, Join, Leave or Control of that number. The response is empty for all but Control.
struct Answer {
  std::uint64_t request = 0;
  Result<proto::ControlResponse> response;
};

using Effect = std::variant<Send, SaveLocalState, MakeCsr, InstallCertificate, Disconnect, Answer>;
using Effects = std::vector<Effect>;

// ---- The node

// Docker's LocalNodeState, without "locked".
enum class LocalNodeState : std::uint8_t { inactive, pending, active, error };

struct NodeView {
  LocalNodeState state = LocalNodeState::inactive;
  std::string error;
  std::string node_id;
  std::string cluster_id;
  std::string advertise_address;  // with port
  proto::Role role = proto::ROLE_WORKER;
  bool control_available = false;  // a manager that has caught up with a leader
  bool leader = false;
  std::vector<proto::Peer> managers;
};

struct NodeOptions {
  std::chrono::milliseconds election_timeout{2000};
  std::chrono::milliseconds heartbeat_timeout{200};
  unsigned snapshot_trailing = 500;
  // Requests that a leader does not answer in this time end with deadline_exceeded.
  std::chrono::milliseconds request_timeout{20'000};
};

class Node {
 public:
  // The log store belongs to this node's identity: it is pristine when `state` has no raft id.
  Node(NodeOptions options, std::optional<proto::LocalState> state,
       proto::NodeDescription description, raft::LogStore& log, ca::Signer& signer, Random random);
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;
  ~Node();

  [[nodiscard]] Effects start(Now now);
  [[nodiscard]] Effects step(Now now, Event event);
  [[nodiscard]] TimePoint next_deadline() const;

  [[nodiscard]] NodeView view() const;
  // Whether this node lets the holder of a (valid) certificate of node_id in: false for one that
  // was removed from the swarm. The transport asks at each handshake; step() checks each message.
  [[nodiscard]] bool admitted(const std::string& node_id) const;
  // On a manager: the replicated objects, possibly a moment behind the leader's. Else null.
  [[nodiscard]] const store::Store* store() const;
  // On a manager: for tests and diagnosis. Else null.
  [[nodiscard]] const raft::Member* raft() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace lab::swarm
