// A manager: a member of the Raft group with the replicated store, and, while it leads, the duties
// of the leader: certificates, sessions of the agents, roles and membership, writes for API
// clients. A manager that does not lead passes clients' writes on and tells agents who leads.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "base/random.hpp"
#include "swarm/ca/signer.hpp"
#include "swarm/manager/dispatcher.hpp"
#include "swarm/manager/writer.hpp"
#include "swarm/node/events.hpp"
#include "swarm/raft/member.hpp"
#include "swarm/store/store.hpp"

namespace lab::swarm::manager {

struct Identity {
  std::string node_id;
  std::uint64_t raft_id = 0;
  std::string address;  // "192.168.50.4:2377"
};

struct Options {
  raft::Options raft;  // id and address are the identity's
  Duration request_timeout = std::chrono::seconds(20);
};

class Manager final : private raft::Transport, private raft::StateMachine {
 public:
  // References must outlive the manager.
  Manager(Options options, Identity identity, raft::LogStore& log, ca::Signer& signer,
          Outbox& outbox, Random random);
  Manager(const Manager&) = delete;
  Manager& operator=(const Manager&) = delete;
  ~Manager() override;

  [[nodiscard]] Result<void> start(Now now);
  // `message` of an authenticated peer, or of one that wants a certificate.
  void receive(Now now, const Endpoint& from, const proto::Envelope& message);
  void stored(Now now, raft::Ticket ticket, const Result<void>& status);
  void control(Now now, std::uint64_t request, proto::ControlRequest body);
  void tick(Now now);
  [[nodiscard]] TimePoint next_deadline() const;
  // Open clients' requests end with `unavailable`.
  void stop();

  [[nodiscard]] const store::Store& store() const { return store_; }
  [[nodiscard]] const raft::Member& raft() const { return *member_; }
  [[nodiscard]] bool halted() const;
  // This manager leads, and its store holds all that was committed before.
  [[nodiscard]] bool leading() const { return leading_; }
  // There is a leader, and the store is that of a swarm.
  [[nodiscard]] bool ready() const;
  [[nodiscard]] bool removed(const std::string& node_id) const;
  // The members of the Raft group that are known by node.
  [[nodiscard]] std::vector<proto::Peer> peers() const;

 private:
  // A client's request on this manager, or one passed on from another.
  struct Pending {
    std::optional<std::uint64_t> request;  // of this node's API client
    proto::ControlRequest body;
    TimePoint deadline;
    TimePoint resend_at;
    std::uint64_t sent_to_term = 0;                // 0: not passed on yet
    std::string error;                             // the last reason for waiting
    std::optional<proto::ControlResponse> answer;  // waits for the store to catch up
  };
  // Answers to requests passed on to this leader, so that one sent again is not done again.
  struct Served {
    TimePoint expires;
    std::optional<proto::ControlResponse> response;  // empty: under way
  };

  // raft::Transport and raft::StateMachine
  void send(const std::string& address, proto::RaftMessage message) override;
  void apply(std::string_view entry) override;
  [[nodiscard]] std::string snapshot() const override;
  [[nodiscard]] Result<void> restore(std::string_view snapshot) override;

  // manager.cpp
  void on_change(const store::Change& change);
  void advance(Now now);
  bool advance_leadership();
  void lose_leadership();
  void expire_sessions();
  [[nodiscard]] Duration heartbeat_period() const;
  [[nodiscard]] proto::Status not_leader() const;
  [[nodiscard]] std::optional<proto::Peer> leader_peer() const;
  [[nodiscard]] store::NodePtr node_of(std::uint64_t raft_id) const;
  void reply(const Endpoint& to, proto::Envelope message);

  // sessions.cpp
  void on_session(const Endpoint& from, const proto::SessionRequest& request);
  void on_heartbeat(const Endpoint& from, const proto::Heartbeat& heartbeat);
  void on_session_close(const Endpoint& from, const proto::SessionClose& close);
  [[nodiscard]] proto::SessionUpdate session_update(const proto::Node& node) const;
  void mark(const std::string& node_id, proto::NodeState state, const std::string& message);
  void push_updates();

  // certificates.cpp
  void on_issue(const Endpoint& from, const proto::IssueCertificateRequest& request);

  // membership.cpp
  void on_raft_join(const Endpoint& from, const proto::RaftJoinRequest& request);
  void finish_raft_join(const Endpoint& to, std::uint64_t nonce);
  void reconcile();
  bool reconcile_member(const proto::Node& node, const std::vector<raft::Server>& servers);
  void remove_member(std::uint64_t raft_id);
  [[nodiscard]] bool may_lose(std::uint64_t raft_id) const;
  [[nodiscard]] raft::Done membership_done();
  [[nodiscard]] proto::ManagerStatus manager_status(const raft::Server& server) const;

  // control.cpp
  using Respond = std::function<void(proto::ControlResponse)>;
  void execute(const proto::ControlRequest& body, Respond respond);
  void on_forwarded(const Endpoint& from, const proto::ForwardedControl& forwarded);
  void on_forwarded_response(const proto::ForwardedControlResponse& response);
  bool advance_pending();
  bool advance_one(std::uint64_t id, Pending& pending);
  void finish(Pending& pending, Result<proto::ControlResponse> response);
  [[nodiscard]] Result<void> update_node(store::Draft& draft, const proto::UpdateNode& request);
  [[nodiscard]] Result<void> remove_node(store::Draft& draft, const proto::RemoveNode& request);
  [[nodiscard]] Result<void> update_cluster(store::Draft& draft,
                                            const proto::UpdateCluster& request);
  [[nodiscard]] proto::ControlResponse list_managers() const;

  Options options_;
  Identity identity_;
  ca::Signer& signer_;
  Outbox& outbox_;
  Random random_;
  store::Store store_;
  std::unique_ptr<raft::Member> member_;
  Writer writer_;
  Dispatcher dispatcher_;
  Now now_{};
  bool advancing_ = false;
  // Leadership: the term for which a barrier was asked, and whether it was passed.
  std::uint64_t barrier_term_ = 0;
  bool leading_ = false;
  bool updates_due_ = false;                 // something the agents are told has changed
  std::map<std::string, std::string> told_;  // by node: the update it got last
  TimePoint reconcile_at_ = TimePoint::max();
  bool membership_busy_ = false;
  std::set<std::string> role_writes_;  // nodes whose role is being written
  std::map<std::uint64_t, Pending> pending_;
  std::uint64_t next_forward_;
  std::map<std::pair<std::string, std::uint64_t>, Served> served_;
};

}  // namespace lab::swarm::manager
