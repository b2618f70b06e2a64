#include "swarm/node/node.hpp"

#include <deque>
#include <utility>

#include "base/digest.hpp"
#include "swarm/agent/agent.hpp"
#include "swarm/manager/manager.hpp"
#include "swarm/manager/status.hpp"
#include "swarm/node/enrolment.hpp"
#include "swarm/proto/bytes.hpp"

namespace lab::swarm {

namespace {

constexpr Duration raft_join_interval = std::chrono::seconds(1);
constexpr Duration leave_patience = std::chrono::seconds(10);
// Of a request that no client of this node asked for.
constexpr std::uint64_t own_request = ~std::uint64_t{0};

constexpr const char* already_in_swarm =
    "This node is already part of a swarm. Use \"docker swarm leave\" to leave this swarm and join "
    "another one.";
constexpr const char* not_in_swarm =
    "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to "
    "connect this node to swarm and try again.";
constexpr const char* not_a_manager =
    "This node is not a swarm manager. Worker nodes can't be used to view or modify cluster state. "
    "Please run this command on a manager node or promote the current node to a manager.";
constexpr const char* leaving_a_manager =
    "You are attempting to leave the swarm on a node that is participating as a manager. ";
constexpr const char* leaving_the_last =
    "Removing the last manager erases all current state of a swarm. Use `--force` to ignore this "
    "message. ";
constexpr const char* leaving_quorum =
    "The only way to restore a swarm that has lost consensus is to reinitialize it with "
    "`--force-new-cluster`. Use `--force` to suppress this message.";
constexpr const char* join_timeout =
    "Timeout was reached before node joined. The attempt to join the swarm will continue in the "
    "background. Use the \"docker info\" command to see the current swarm status of your node.";

std::string without_port(const std::string& address) {
  const std::size_t colon = address.rfind(':');
  return colon == std::string::npos ? address : address.substr(0, colon);
}

std::vector<proto::Peer> peers_of(const proto::LocalState& state) {
  return {state.managers().begin(), state.managers().end()};
}

}  // namespace

std::string new_id(Random& random) {
  std::string bytes;
  for (int i = 0; i < 2; ++i)
    for (std::uint64_t word = random(), n = 0; n < 8; ++n, word >>= 8)
      bytes += static_cast<char>(word & 0xff);
  return base36_encode(bytes, 25);
}

proto::Cluster default_cluster(std::string id) {
  proto::Cluster cluster;
  cluster.set_id(std::move(id));
  proto::ClusterSpec& spec = *cluster.mutable_spec();
  spec.set_name("default");
  spec.set_task_history_retention(5);
  spec.set_snapshot_interval(10'000);
  spec.set_log_entries_for_slow_followers(500);
  spec.set_election_tick(10);
  spec.set_heartbeat_tick(1);
  spec.set_heartbeat_period_ns(Duration(std::chrono::seconds(5)).count());
  spec.set_node_certificate_expiry_ns(Duration(std::chrono::hours(24 * 90)).count());
  cluster.add_default_address_pools("10.0.0.0/8");
  cluster.set_subnet_size(24);
  cluster.set_data_path_port(4789);
  return cluster;
}

void fit_to_certificate(proto::LocalState& state, proto::Role role) {
  state.set_role(role);
  if (role == proto::ROLE_WORKER) {
    state.set_raft_id(0);
    state.set_raft_version(0);
  }
}

struct Node::Impl {
  NodeOptions options;
  proto::LocalState state;
  proto::NodeDescription description;
  raft::LogStore& log;
  ca::Signer& signer;
  Random random;
  Outbox outbox;
  agent::Agent agent;
  Enrolment enrolment;
  std::unique_ptr<manager::Manager> manager;
  std::uint64_t managers_made = 0;
  Now now{};
  std::deque<std::pair<Endpoint, proto::Envelope>> loopback;
  bool fatal = false;
  bool led = false;  // when settle() looked last

  std::optional<std::uint64_t> init_request;
  std::optional<std::uint64_t> join_request;
  TimePoint join_deadline = TimePoint::max();
  std::uint64_t raft_join_nonce = 0;
  TimePoint raft_join_at = TimePoint::max();
  std::optional<std::uint64_t> leave_request;
  TimePoint leave_deadline = TimePoint::max();
  TimePoint renew_at = TimePoint::max();

  Impl(NodeOptions options_, std::optional<proto::LocalState> state_,
       proto::NodeDescription description_, raft::LogStore& log_, ca::Signer& signer_,
       Random random_)
      : options(options_),
        state(state_ ? std::move(*state_) : proto::LocalState()),
        description(std::move(description_)),
        log(log_),
        signer(signer_),
        random(random_),
        agent(outbox, random_.stream("agent")),
        enrolment(outbox, random_.stream("enrolment")) {
    agent.describe(description);
  }

  [[nodiscard]] bool in_swarm() const { return !state.node_id().empty(); }
  [[nodiscard]] Endpoint self() const {
    return Endpoint{.node_id = state.node_id(), .role = state.role()};
  }

  void answer(std::uint64_t request, Result<proto::ControlResponse> response) {
    outbox.add(Answer{request, std::move(response)});
  }
  void answer_error(std::uint64_t request, Code code, std::string text) {
    answer(request, Error{code, std::move(text)});
  }
  void save() { outbox.add(SaveLocalState{state}); }
  void die(const Error& error) {
    fatal = true;
    outbox.add(Fatal{error.message});
  }

  void start_agent() {
    agent.start(now.monotonic, state.node_id(), without_port(state.advertise_address()),
                peers_of(state));
  }
  void start_manager();
  void stop_manager();
  void begin_renewal_clock();

  void on(const Tick&) {
    if (manager) manager->tick(now);
  }
  void on(const Stored& event) {
    if (manager) manager->stored(now, event.ticket, event.status);
  }
  void on(const Described& event) {
    description = event.description;
    agent.describe(description);
  }
  void on(const CsrMade& event) { enrolment.csr_made(now.monotonic, event, agent.target()); }
  void on(const Received& event) { receive(event.from, event.message); }
  void on(const Init& event);
  void on(const Join& event);
  void on(const Leave& event);
  void on(const Control& event);

  void receive(const Endpoint& from, const proto::Envelope& message);
  void turn_away(const Endpoint& from, const proto::Envelope& message);
  void install(const proto::IssueCertificateResponse& response);
  void on_raft_join(const proto::RaftJoinResponse& response);
  void on_update(const proto::SessionUpdate& update);
  void ask_to_join_raft();
  void settle_requests();
  void follow_own_lead();
  void settle();
  void finish_leaving();
  [[nodiscard]] bool for_self(const Endpoint& to) const;
  Effects collect();
};

// ---- Manager and certificate

void Node::Impl::start_manager() {
  manager::Options made;
  made.raft.election_timeout = options.election_timeout;
  made.raft.heartbeat_timeout = options.heartbeat_timeout;
  made.raft.snapshot_threshold = options.snapshot_threshold;
  made.raft.snapshot_trailing = options.snapshot_trailing;
  made.request_timeout = options.request_timeout;
  manager::Identity identity{
      .node_id = state.node_id(), .raft_id = state.raft_id(), .address = state.advertise_address()};
  manager =
      std::make_unique<manager::Manager>(std::move(made), std::move(identity), log, signer, outbox,
                                         random.stream(fmt::format("manager/{}", ++managers_made)));
  if (Result<void> started = manager->start(now); !started) die(started.error());
}

void Node::Impl::stop_manager() {
  if (manager) manager->stop();
  manager.reset();
  raft_join_at = TimePoint::max();
  if (Result<void> erased = log.erase(); !erased) die(erased.error());
  state.set_raft_id(0);
  state.set_raft_version(0);
}

void Node::Impl::begin_renewal_clock() {
  renew_at = TimePoint::max();
  const std::int64_t issued = state.certificate_issued_at_ns();
  const std::int64_t life = state.certificate_expires_at_ns() - issued;
  if (issued == 0 || life <= 0) return;
  // At 50 to 80 % of its life, as SwarmKit, so that a swarm does not renew all at once.
  const double share = 0.5 + 0.3 * random.stream("renewal").uniform();
  const auto renew = issued + static_cast<std::int64_t>(share * static_cast<double>(life));
  renew_at = now.monotonic + std::max(Duration::zero(), Duration(renew - to_unix_ns(now.wall)));
}

void Node::Impl::install(const proto::IssueCertificateResponse& response) {
  const bool joining = !in_swarm();
  // Issued before this node became a member of the Raft group as which it runs: out of date, and to
  // obey it would be to forget votes and entries. The next session update leads to a new request.
  if (response.role() == proto::ROLE_WORKER && state.raft_id() != 0 &&
      response.store_version() < state.raft_version())
    return;
  outbox.add(InstallCertificate{.ticket = enrolment.ticket(),
                                .certificate_pem = response.certificate_pem(),
                                .root_certificate_pem = response.root_certificate_pem(),
                                .node_id = response.node_id(),
                                .role = response.role()});
  if (response.role() == proto::ROLE_WORKER && manager) stop_manager();
  state.set_format(1);
  state.set_node_id(response.node_id());
  state.set_role(response.role());
  state.set_certificate_issued_at_ns(to_unix_ns(now.wall));
  state.set_certificate_expires_at_ns(response.certificate_expires_at_ns());
  if (response.managers_size() > 0) *state.mutable_managers() = response.managers();
  save();
  begin_renewal_clock();
  if (joining) {
    start_agent();
  } else {
    agent.reconnect(now.monotonic);
  }
  if (response.role() == proto::ROLE_MANAGER && state.raft_id() == 0) raft_join_at = now.monotonic;
}

void Node::Impl::ask_to_join_raft() {
  raft_join_at = now.monotonic + raft_join_interval;
  const Endpoint to = agent.target();
  if (to.address.empty() && to.node_id.empty()) return;
  raft_join_nonce = random();
  proto::Envelope message;
  message.mutable_raft_join_request()->set_nonce(raft_join_nonce);
  message.mutable_raft_join_request()->set_address(state.advertise_address());
  outbox.send(to, std::move(message));
}

void Node::Impl::on_raft_join(const proto::RaftJoinResponse& response) {
  if (response.nonce() != raft_join_nonce || raft_join_at == TimePoint::max() || manager) return;
  if (!response.status().ok() || response.raft_id() == 0) return;  // asks again
  raft_join_at = TimePoint::max();
  if (Result<void> erased = log.erase(); !erased) return die(erased.error());
  state.set_raft_id(response.raft_id());
  state.set_raft_version(response.store_version());
  save();
  start_manager();
}

void Node::Impl::on_update(const proto::SessionUpdate& update) {
  const auto& known = state.managers();
  bool same = known.size() == update.managers_size();
  for (int i = 0; same && i < known.size(); ++i)
    same = known[i].node_id() == update.managers(i).node_id() &&
           known[i].address() == update.managers(i).address();
  if (!same && update.managers_size() > 0) {
    *state.mutable_managers() = update.managers();
    save();
  }
  if (leave_request) {
    if (update.certificate_role() == proto::ROLE_WORKER) finish_leaving();
    return;
  }
  if (update.certificate_role() != state.role() && !enrolment.busy())
    enrolment.renew(now.monotonic);
  // Demoted and promoted again before this node heard of it: the membership it has is over. A store
  // older than the membership (a deposed leader's) knows nothing about it.
  if (state.role() == proto::ROLE_MANAGER && state.raft_id() != 0 &&
      update.raft_id() != state.raft_id() && update.store_version() >= state.raft_version()) {
    stop_manager();
    save();
    raft_join_at = now.monotonic;
  }
}

// ---- Requests of this node's API

void Node::Impl::on(const Init& event) {
  if (in_swarm() || enrolment.busy())
    return answer_error(event.request, Code::unavailable, already_in_swarm);
  if (Result<void> erased = log.erase(); !erased) return die(erased.error());
  std::uint64_t raft_id = 0;
  while (raft_id == 0) raft_id = random();

  proto::Node node;
  node.set_id(event.node_id);
  node.set_role(proto::ROLE_MANAGER);
  node.mutable_spec()->set_role(proto::ROLE_MANAGER);
  node.mutable_spec()->set_availability(event.availability);
  *node.mutable_description() = description;
  node.mutable_status()->set_state(proto::NODE_STATE_UNKNOWN);
  node.mutable_status()->set_address(without_port(event.advertise_address));
  node.mutable_manager_status()->set_raft_id(raft_id);
  node.mutable_manager_status()->set_address(event.advertise_address);
  node.set_certificate_pem(event.certificate_pem);
  node.set_certificate_expires_at_ns(event.certificate_expires_at_ns);
  store::Store empty;
  store::Draft draft(empty);
  draft.put(event.cluster);
  draft.put(std::move(node));
  if (Result<void> done = raft::Member::bootstrap(
          log, raft_id, event.advertise_address, to_bytes(draft.transaction(to_unix_ns(now.wall))));
      !done)
    return answer(event.request, done.error().wrap("beginning the swarm's log"));

  state.set_format(1);
  state.set_node_id(event.node_id);
  state.set_cluster_id(event.cluster.id());
  state.set_role(proto::ROLE_MANAGER);
  state.set_raft_id(raft_id);
  state.set_raft_version(1);
  state.set_advertise_address(event.advertise_address);
  state.set_certificate_issued_at_ns(to_unix_ns(now.wall));
  state.set_certificate_expires_at_ns(event.certificate_expires_at_ns);
  proto::Peer& peer = *state.add_managers();
  peer.set_node_id(event.node_id);
  peer.set_address(event.advertise_address);
  save();
  begin_renewal_clock();
  init_request = event.request;
  start_manager();
  start_agent();
}

void Node::Impl::on(const Join& event) {
  if (in_swarm() || enrolment.busy())
    return answer_error(event.request, Code::unavailable, already_in_swarm);
  if (event.managers.empty())
    return answer_error(event.request, Code::invalid_argument,
                        "at least one manager's address is needed to join a swarm");
  if (Result<void> erased = log.erase(); !erased) return die(erased.error());
  state.set_advertise_address(event.advertise_address);
  join_request = event.request;
  join_deadline = now.monotonic + options.request_timeout;
  enrolment.join(now.monotonic, event);
}

void Node::Impl::on(const Leave& event) {
  if (!in_swarm() && !enrolment.busy())
    return answer_error(event.request, Code::unavailable, "This node is not part of a swarm");
  const bool last = manager && manager->peers().size() <= 1;
  if (manager && !event.force) {
    std::string text = leaving_a_manager;
    text += last ? leaving_the_last : leaving_quorum;
    return answer_error(event.request, Code::unavailable, std::move(text));
  }
  leave_request = event.request;
  const store::NodePtr own = manager ? manager->store().node(state.node_id()) : nullptr;
  if (last || !own || !manager->ready()) return finish_leaving();
  // First out of the Raft group, so that the others keep their quorum; but not for ever.
  leave_deadline = now.monotonic + leave_patience;
  proto::ControlRequest demote;
  demote.mutable_update_node()->set_node_id(own->id());
  demote.mutable_update_node()->set_version(own->meta().version());
  *demote.mutable_update_node()->mutable_spec() = own->spec();
  demote.mutable_update_node()->mutable_spec()->set_role(proto::ROLE_WORKER);
  manager->control(now, own_request, std::move(demote));
}

void Node::Impl::finish_leaving() {
  agent.stop("the node left the swarm");
  enrolment.cancel();
  if (join_request)
    answer_error(*std::exchange(join_request, {}), Code::cancelled, "left the swarm");
  stop_manager();
  state = proto::LocalState();
  renew_at = leave_deadline = join_deadline = TimePoint::max();
  save();
  answer(*std::exchange(leave_request, {}), proto::ControlResponse());
}

void Node::Impl::on(const Control& event) {
  if (manager) return manager->control(now, event.request, event.body);
  answer_error(event.request, Code::unavailable, in_swarm() ? not_a_manager : not_in_swarm);
}

// ---- Messages

void Node::Impl::receive(const Endpoint& from, const proto::Envelope& message) {
  if (agent.receive(now.monotonic, from, message)) return;
  switch (message.body_case()) {
    case proto::Envelope::kIssueResponse: {
      const auto outcome = enrolment.receive(now.monotonic, message.issue_response());
      if (outcome == Enrolment::Outcome::issued) install(message.issue_response());
      if (outcome == Enrolment::Outcome::refused && join_request) {
        answer(*std::exchange(join_request, {}), to_error(message.issue_response().status()));
        join_deadline = TimePoint::max();
        state = proto::LocalState();
      }
      return;
    }
    case proto::Envelope::kRaftJoinResponse: return on_raft_join(message.raft_join_response());
    default: break;
  }
  if (manager) return manager->receive(now, from, message);
  turn_away(from, message);
}

void Node::Impl::turn_away(const Endpoint& from, const proto::Envelope& message) {
  proto::Status status = to_status(Error{Code::unavailable, "this node is not a manager"});
  // It was one when the other was told of it; by now it may know better whom to ask.
  if (agent.connected()) {
    const Endpoint manager = agent.target();
    status.mutable_leader()->set_node_id(manager.node_id);
    status.mutable_leader()->set_address(manager.address);
  }
  proto::Envelope answer;
  if (message.has_session_request()) {
    answer.mutable_session_response()->set_nonce(message.session_request().nonce());
    *answer.mutable_session_response()->mutable_status() = status;
  } else if (message.has_heartbeat()) {
    answer.mutable_heartbeat_response()->set_session_id(message.heartbeat().session_id());
    answer.mutable_heartbeat_response()->set_sequence(message.heartbeat().sequence());
    *answer.mutable_heartbeat_response()->mutable_status() = status;
  } else if (message.has_issue_request()) {
    answer.mutable_issue_response()->set_id(message.issue_request().id());
    *answer.mutable_issue_response()->mutable_status() = status;
  } else {
    return;
  }
  outbox.send(Endpoint{.node_id = from.node_id, .connection = from.connection}, std::move(answer));
}

// ---- After each event

void Node::Impl::settle_requests() {
  if (init_request && manager && manager->leading())
    answer(*std::exchange(init_request, {}), proto::ControlResponse());
  if (join_request && in_swarm() && agent.connected() &&
      (state.role() == proto::ROLE_WORKER ||
       (manager && manager->ready() && manager->store().node(state.node_id())))) {
    answer(*std::exchange(join_request, {}), proto::ControlResponse());
    join_deadline = TimePoint::max();
  }
  if (now.monotonic >= join_deadline) {
    join_deadline = TimePoint::max();
    if (join_request)
      answer_error(*std::exchange(join_request, {}), Code::deadline_exceeded, join_timeout);
  }
  if (now.monotonic >= leave_deadline && leave_request) finish_leaving();
}

// The others find a new leader by their heartbeats. This node knows at once, and a swarm that has
// just begun is Ready as soon as it exists.
void Node::Impl::follow_own_lead() {
  const bool leads = manager && manager->leading();
  if (leads && !led) {
    proto::Peer own;
    own.set_node_id(state.node_id());
    own.set_address(state.advertise_address());
    agent.turn_to(now.monotonic, std::move(own));
  }
  led = leads;
}

void Node::Impl::settle() {
  if (fatal) return;
  follow_own_lead();
  agent.tick(now.monotonic);
  enrolment.tick(now.monotonic, agent.target());
  if (std::optional<proto::SessionUpdate> update = agent.take_update()) on_update(*update);
  if (now.monotonic >= raft_join_at) ask_to_join_raft();
  if (now.monotonic >= renew_at && !enrolment.busy()) {
    renew_at = TimePoint::max();
    enrolment.renew(now.monotonic);
  }
  settle_requests();
  if (manager && manager->halted())
    die(make_error(Code::internal, "Raft has stopped: {}", manager->raft().last_error()));
}

bool Node::Impl::for_self(const Endpoint& to) const {
  if (!in_swarm() || to.connection != 0) return false;
  if (!to.node_id.empty()) return to.node_id == state.node_id();
  return to.address == state.advertise_address();
}

Effects Node::Impl::collect() {
  Effects all;
  while (true) {
    settle();
    for (Effect& effect : outbox.take()) {
      if (auto* send = std::get_if<Send>(&effect); send != nullptr && for_self(send->to)) {
        loopback.emplace_back(self(), std::move(send->message));
        continue;
      }
      if (const auto* answered = std::get_if<Answer>(&effect);
          answered != nullptr && answered->request == own_request)
        continue;
      all.push_back(std::move(effect));
    }
    if (fatal) loopback.clear();
    if (loopback.empty()) return all;
    auto [from, message] = std::move(loopback.front());
    loopback.pop_front();
    receive(from, message);
  }
}

// ---- Node

Node::Node(NodeOptions options, std::optional<proto::LocalState> state,
           proto::NodeDescription description, raft::LogStore& log, ca::Signer& signer,
           Random random)
    : impl_(std::make_unique<Impl>(options, std::move(state), std::move(description), log, signer,
                                   random)) {}

Node::~Node() = default;

Effects Node::start(Now now) {
  Impl& impl = *impl_;
  impl.now = now;
  if (impl.in_swarm()) {
    impl.begin_renewal_clock();
    if (impl.state.role() == proto::ROLE_MANAGER) {
      if (impl.state.raft_id() != 0)
        impl.start_manager();
      else
        impl.raft_join_at = now.monotonic;
    }
    if (!impl.fatal) impl.start_agent();
  }
  return impl.collect();
}

Effects Node::step(Now now, const Event& event) {
  Impl& impl = *impl_;
  if (impl.fatal) return {};
  impl.now = now;
  std::visit([&impl](const auto& what) { impl.on(what); }, event);
  return impl.collect();
}

TimePoint Node::next_deadline() const {
  const Impl& impl = *impl_;
  if (impl.fatal) return TimePoint::max();
  return std::min({impl.manager ? impl.manager->next_deadline() : TimePoint::max(),
                   impl.agent.next_deadline(), impl.enrolment.next_deadline(), impl.join_deadline,
                   impl.raft_join_at, impl.leave_deadline, impl.renew_at});
}

NodeView Node::view() const {
  const Impl& impl = *impl_;
  NodeView view;
  view.node_id = impl.state.node_id();
  view.role = impl.state.role();
  view.advertise_address = impl.state.advertise_address();
  view.cluster_id = impl.state.cluster_id();
  view.managers = impl.agent.managers();
  if (impl.in_swarm()) {
    view.state = impl.agent.refused_for_good() ? LocalNodeState::error : LocalNodeState::active;
    view.error = impl.agent.refusal();
  } else if (impl.enrolment.busy()) {
    view.state = LocalNodeState::pending;
    view.error = impl.enrolment.last_error();
  }
  if (impl.manager) {
    view.control_available = impl.manager->ready();
    view.leader = impl.manager->leading();
    if (impl.manager->store().cluster()) view.cluster_id = impl.manager->store().cluster()->id();
  }
  return view;
}

bool Node::leading() const { return impl_->manager && impl_->manager->leading(); }

bool Node::admitted(const std::string& node_id) const {
  return !impl_->manager || !impl_->manager->removed(node_id);
}

const store::Store* Node::store() const {
  return impl_->manager ? &impl_->manager->store() : nullptr;
}

const raft::Member* Node::raft() const {
  return impl_->manager ? &impl_->manager->raft() : nullptr;
}

}  // namespace lab::swarm
