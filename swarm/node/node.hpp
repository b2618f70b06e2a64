// One node of the swarm without any I/O: agent on every node, and on a manager Raft member, store
// and the leader's duties. swarmd wraps it in sockets and files; the simulation in virtual time.
//
//   effects = node.step(now, event);   // for each thing that happened
//   next call at node.next_deadline() at the latest, with Tick.
//
// Effects are to be carried out in their order, and those of one step before the next step.
// SaveLocalState and InstallCertificate must be durable before the effects behind them are begun.
// The log store is called from inside step().
//
// Starting: construct with the LocalState found on disk (none: an inactive node), call start()
// once. A node with a LocalState must hold the certificate that goes with it; when a crash came
// between InstallCertificate and SaveLocalState, fit_to_certificate() first. Without a LocalState
// the node has no use for its certificate, without a raft id none for its log: remove them.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "base/random.hpp"
#include "swarm/ca/signer.hpp"
#include "swarm/node/events.hpp"
#include "swarm/raft/member.hpp"
#include "swarm/store/store.hpp"
#include "swarm/types.hpp"

namespace lab::swarm {

// SwarmKit's ids: 25 digits of base 36.
[[nodiscard]] std::string new_id(Random& random);

// A new cluster as `docker swarm init` makes it, with Docker's defaults; the root CA is the
// caller's to fill in.
[[nodiscard]] proto::Cluster default_cluster(std::string id);

// The state as SaveLocalState would have left it after the certificate of this role was installed.
void fit_to_certificate(proto::LocalState& state, proto::Role role);

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
  unsigned snapshot_threshold = 10'000;  // Raft entries
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
  [[nodiscard]] Effects step(Now now, const Event& event);
  [[nodiscard]] TimePoint next_deadline() const;

  [[nodiscard]] NodeView view() const;
  // The same as view().leader: leads, and the store holds all that was committed before.
  [[nodiscard]] bool leading() const;
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
