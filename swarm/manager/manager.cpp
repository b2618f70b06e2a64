#include "swarm/manager/manager.hpp"

#include <utility>

#include "swarm/manager/status.hpp"
#include "swarm/proto/bytes.hpp"

namespace lab::swarm::manager {

namespace {

constexpr Duration reconcile_interval = std::chrono::seconds(1);

raft::Options raft_options(const Options& options, const Identity& identity) {
  raft::Options made = options.raft;
  made.id = identity.raft_id;
  made.address = identity.address;
  return made;
}

}  // namespace

Manager::Manager(Options options, Identity identity, raft::LogStore& log, ca::Signer& signer,
                 Outbox& outbox, Random random)
    : options_(std::move(options)),
      identity_(std::move(identity)),
      signer_(signer),
      outbox_(outbox),
      random_(random.stream("manager")),
      member_(std::make_unique<raft::Member>(
          raft_options(options_, identity_), log, static_cast<raft::Transport&>(*this),
          static_cast<raft::StateMachine&>(*this), random.stream("raft"))),
      writer_(store_, *member_),
      dispatcher_(random.stream("dispatcher")),
      next_forward_(random_()) {
  store_.watch([this](const store::Change& change) { on_change(change); });
}

Manager::~Manager() { stop(); }

void Manager::stop() {
  lose_leadership();
  for (auto& [id, pending] : std::exchange(pending_, {}))
    finish(pending, Error{Code::unavailable, "this node is no longer a manager"});
}

Result<void> Manager::start(Now now) {
  now_ = now;
  LAB_CHECK(member_->start(now.monotonic));
  advance(now);
  return {};
}

void Manager::stored(Now now, raft::Ticket ticket, const Result<void>& status) {
  now_ = now;
  member_->stored(now.monotonic, ticket, status);
  advance(now);
}

void Manager::tick(Now now) {
  now_ = now;
  if (now.monotonic >= member_->next_tick()) member_->tick(now.monotonic);
  advance(now);
}

TimePoint Manager::next_deadline() const {
  TimePoint next = member_->next_tick();
  if (leading_) next = std::min({next, dispatcher_.next_deadline(), reconcile_at_});
  for (const auto& [id, pending] : pending_)
    next = std::min({next, pending.deadline, pending.resend_at});
  return next;
}

void Manager::receive(Now now, const Endpoint& from, const proto::Envelope& message) {
  now_ = now;
  // Those whom a removed node asks refuse it in words; the rest of what it says is not heard.
  const auto kind = message.body_case();
  if (removed(from.node_id) && kind != proto::Envelope::kIssueRequest &&
      kind != proto::Envelope::kSessionRequest && kind != proto::Envelope::kHeartbeat)
    return;
  switch (kind) {
    case proto::Envelope::kRaft:
      if (from.role == proto::ROLE_MANAGER) member_->receive(now.monotonic, message.raft());
      break;
    case proto::Envelope::kIssueRequest: on_issue(from, message.issue_request()); break;
    case proto::Envelope::kSessionRequest: on_session(from, message.session_request()); break;
    case proto::Envelope::kHeartbeat: on_heartbeat(from, message.heartbeat()); break;
    case proto::Envelope::kSessionClose: on_session_close(from, message.session_close()); break;
    case proto::Envelope::kRaftJoinRequest: on_raft_join(from, message.raft_join_request()); break;
    case proto::Envelope::kControl: on_forwarded(from, message.control()); break;
    case proto::Envelope::kControlResponse:
      if (from.role == proto::ROLE_MANAGER) on_forwarded_response(message.control_response());
      break;
    default: break;
  }
  advance(now);
}

// ---- Raft's ends

void Manager::send(const std::string& address, proto::RaftMessage message) {
  Endpoint to{.address = address};
  if (const store::NodePtr node = node_of(message.to())) to.node_id = node->id();
  proto::Envelope envelope;
  *envelope.mutable_raft() = std::move(message);
  outbox_.send(std::move(to), std::move(envelope));
}

void Manager::apply(std::string_view entry) {
  proto::Transaction transaction;
  if (!transaction.ParseFromArray(entry.data(), static_cast<int>(entry.size())))
    throw std::logic_error("a committed Raft entry is not a transaction");
  store_.apply(transaction);
}

std::string Manager::snapshot() const { return to_bytes(store_.snapshot()); }

Result<void> Manager::restore(std::string_view snapshot) {
  proto::Snapshot parsed;
  if (!parsed.ParseFromArray(snapshot.data(), static_cast<int>(snapshot.size())))
    return Error{Code::internal, "the Raft snapshot is damaged"};
  return store_.restore(parsed);
}

void Manager::on_change(const store::Change& change) {
  updates_due_ = true;
  reconcile_at_ = std::min(reconcile_at_, now_.monotonic);
  if (change.node_before && !change.node_after) dispatcher_.forget(change.node_before->id());
  if (!change.cluster_after) return;
  for (const auto& [id, removal] : change.cluster_after->removed_nodes())
    if (!change.cluster_before || !change.cluster_before->removed_nodes().contains(id))
      outbox_.add(Disconnect{id});
}

// ---- Leadership

bool Manager::halted() const { return member_->state() == raft::State::halted; }

bool Manager::ready() const {
  if (halted() || !store_.cluster()) return false;
  return member_->is_leader() ? leading_ : member_->leader().id != 0;
}

bool Manager::removed(const std::string& node_id) const {
  return store_.cluster() && store_.cluster()->removed_nodes().contains(node_id);
}

void Manager::advance(Now now) {
  if (advancing_) return;
  advancing_ = true;
  bool again = true;
  while (again) {
    again = advance_leadership();
    if (leading_) {
      expire_sessions();
      if (now.monotonic >= reconcile_at_) {
        reconcile_at_ = now.monotonic + reconcile_interval;
        reconcile();
      }
      again = writer_.pump(now) || again;
    }
    again = advance_pending() || again;
  }
  if (leading_ && std::exchange(updates_due_, false)) push_updates();
  advancing_ = false;
}

bool Manager::advance_leadership() {
  if (!member_->is_leader()) {
    if (leading_ || barrier_term_ != 0) lose_leadership();
    return false;
  }
  if (barrier_term_ == member_->term()) return false;
  if (barrier_term_ != 0) lose_leadership();
  const std::uint64_t term = member_->term();
  barrier_term_ = term;
  member_->barrier(now_.monotonic, [this, term](const Result<void>& passed) {
    if (!passed || !member_->is_leader() || member_->term() != term) return;
    leading_ = true;
    updates_due_ = true;
    reconcile_at_ = now_.monotonic;
    std::vector<std::string> expected;
    for (const auto& [id, node] : store_.nodes())
      if (node->status().state() != proto::NODE_STATE_DOWN) expected.push_back(id);
    dispatcher_.lead(now_.monotonic, heartbeat_period(), expected);
  });
  return true;
}

void Manager::lose_leadership() {
  leading_ = false;
  barrier_term_ = 0;
  reconcile_at_ = TimePoint::max();
  membership_busy_ = false;
  role_writes_.clear();
  told_.clear();
  served_.clear();
  dispatcher_.stop();
  writer_.fail_waiting();
}

void Manager::expire_sessions() {
  for (const std::string& id : dispatcher_.expire(now_.monotonic))
    mark(id, proto::NODE_STATE_DOWN, "heartbeat failure");
}

Duration Manager::heartbeat_period() const {
  const std::int64_t period = store_.cluster() ? store_.cluster()->spec().heartbeat_period_ns() : 0;
  return period > 0 ? Duration(period) : Duration(std::chrono::seconds(5));
}

store::NodePtr Manager::node_of(std::uint64_t raft_id) const {
  for (const auto& [id, node] : store_.nodes())
    if (node->has_manager_status() && node->manager_status().raft_id() == raft_id) return node;
  return nullptr;
}

std::vector<proto::Peer> Manager::peers() const {
  std::vector<proto::Peer> peers;
  for (const raft::Server& server : member_->configuration()) {
    if (server.role != raft::ServerRole::voter) continue;
    const store::NodePtr node = node_of(server.id);
    if (!node) continue;
    proto::Peer& peer = peers.emplace_back();
    peer.set_node_id(node->id());
    peer.set_address(server.address);
  }
  return peers;
}

std::optional<proto::Peer> Manager::leader_peer() const {
  const raft::Leader leader = member_->leader();
  if (leader.id == 0) return {};
  proto::Peer peer;
  peer.set_address(leader.address);
  if (const store::NodePtr node = node_of(leader.id)) peer.set_node_id(node->id());
  return peer;
}

proto::Status Manager::not_leader() const {
  proto::Status status = to_status(Error{Code::unavailable, "this manager is not the leader"});
  if (std::optional<proto::Peer> peer = leader_peer(); peer && !member_->is_leader())
    *status.mutable_leader() = *peer;
  return status;
}

void Manager::reply(const Endpoint& to, proto::Envelope message) {
  outbox_.send(Endpoint{.node_id = to.node_id, .connection = to.connection}, std::move(message));
}

}  // namespace lab::swarm::manager
