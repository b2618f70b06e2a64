#include "swarm/sim/world.hpp"

#include <utility>

namespace lab::swarm::sim {

namespace {

class SimulatedSigner final : public ca::Signer {
 public:
  explicit SimulatedSigner(Duration life) : life_(life) {}

  Result<ca::IssuedCertificate> issue(const proto::Cluster&, const std::string& csr_pem,
                                      const std::string& node_id, proto::Role role,
                                      WallTime now) override {
    return ca::IssuedCertificate{
        .certificate_pem =
            fmt::format("certificate of {} as {} for {}", node_id, proto::Role_Name(role), csr_pem),
        .expires_at_ns = to_unix_ns(now + life_)};
  }

 private:
  Duration life_;
};

}  // namespace

struct World::Machine {
  std::size_t index = 0;
  std::string address;
  Random random;
  std::unique_ptr<Disk> disk;
  std::unique_ptr<Node> node;  // null: down
  // Durable beside the log.
  std::optional<proto::LocalState> state;
  Certificate certificate;
  std::uint64_t key_ticket = 0;
  std::uint64_t certificates = 0;
  // Volatile.
  std::uint64_t boots = 0;
  TimePoint armed = TimePoint::max();
  TimePoint last_tick = TimePoint::min();
  int ticks_at_once = 0;
  netsim::EventQueue::EventId timer;
  std::map<std::uint64_t, OnAnswer> answers;
  std::optional<std::size_t> crash_after_effects;
  bool crash_when_writing = false;

  explicit Machine(Random random_) : random(random_) {}
};

World::World(const Parameters& parameters, Mutation mutation, Observer& observer)
    : parameters_(parameters),
      mutation_(mutation),
      observer_(observer),
      random_(parameters.seed),
      network_(queue_, random_.stream("network")),
      signer_(std::make_unique<SimulatedSigner>(parameters.certificate_life)) {}

World::~World() = default;

std::size_t World::add_node() {
  const std::size_t index = nodes_.size();
  auto machine = std::make_unique<Machine>(random_.stream(fmt::format("node/{}", index)));
  machine->index = index;
  machine->address = fmt::format("10.0.0.{}:2377", index + 1);
  network_.add_endpoint(fmt::format("n{}", index + 1));
  DiskOptions disk{.latency_max = parameters_.disk_latency_max,
                   .lies = mutation_ == Mutation::disk_lies};
  Machine* raw = machine.get();
  machine->disk = std::make_unique<Disk>(queue_, disk, machine->random.stream("disk"),
                                         [this, raw](raft::Ticket ticket) {
                                           if (raw->node) step(*raw, Stored{ticket, {}}, nullptr);
                                         });
  nodes_.push_back(std::move(machine));
  boot(*raw);
  return index;
}

const Node* World::node(std::size_t index) const { return nodes_[index]->node.get(); }
std::string World::address(std::size_t index) const { return nodes_[index]->address; }
const Certificate& World::certificate(std::size_t index) const {
  return nodes_[index]->certificate;
}
std::uint64_t World::certificates_installed(std::size_t index) const {
  return nodes_[index]->certificates;
}
const Disk::Counters& World::disk_counters(std::size_t index) const {
  return nodes_[index]->disk->counters();
}

std::uint64_t World::trace_hash() const { return trace_ ^ network_.trace_hash(); }

void World::trace(std::uint64_t value) {
  for (int i = 0; i < 8; ++i, value >>= 8) trace_ = (trace_ ^ (value & 0xff)) * 0x100000001b3;
}

// ---- Up and down

void World::boot(Machine& machine) {
  NodeOptions options;
  options.election_timeout = parameters_.election_timeout;
  options.heartbeat_timeout = parameters_.election_timeout / 5;
  options.snapshot_threshold = parameters_.snapshot_threshold;
  options.snapshot_trailing = parameters_.snapshot_trailing;
  // As swarmd after a crash.
  if (machine.state)
    fit_to_certificate(*machine.state, machine.certificate.role);
  else
    machine.certificate = {};
  if (!machine.state || machine.state->raft_id() == 0) (void)machine.disk->erase();
  proto::NodeDescription description;
  description.set_hostname(fmt::format("n{}", machine.index + 1));
  machine.node = std::make_unique<Node>(
      options, machine.state, std::move(description), *machine.disk, *signer_,
      machine.random.stream(fmt::format("boot/{}", ++machine.boots)));
  Effects effects = machine.node->start(now());
  observer_.stepped(machine.index, *machine.node, effects, nullptr);
  carry_out(machine, std::move(effects));
  if (machine.node) arm(machine);
}

void World::crash(std::size_t index) {
  Machine& machine = *nodes_[index];
  if (!machine.node) return;
  trace(0xdead0000 + index);
  machine.crash_after_effects.reset();
  machine.crash_when_writing = false;
  machine.node.reset();
  machine.disk->crash();
  machine.answers.clear();
  queue_.cancel(machine.timer);
  machine.armed = TimePoint::max();
  network_.crash(static_cast<netsim::SimNetwork::Endpoint>(index));
  observer_.stopped(index);
}

void World::crash_within_next_step(std::size_t index) {
  nodes_[index]->crash_after_effects = nodes_[index]->random.below(3);
}

void World::crash_during_write(std::size_t index) { nodes_[index]->crash_when_writing = true; }

void World::restart(std::size_t index) {
  if (nodes_[index]->node) return;
  network_.restart(static_cast<netsim::SimNetwork::Endpoint>(index));
  boot(*nodes_[index]);
}

void World::replace(std::size_t index) {
  crash(index);
  Machine& machine = *nodes_[index];
  // A new disk fails no erase.
  (void)machine.disk->erase();
  machine.state.reset();
  machine.certificate = {};
  restart(index);
}

// ---- Steps

void World::arm(Machine& machine) {
  const TimePoint next = std::max(machine.node->next_deadline(), queue_.now());
  if (next >= machine.armed) return;  // wakes early enough, and looks again then
  queue_.cancel(machine.timer);
  machine.armed = next;
  machine.timer = queue_.schedule_at(next, [this, &machine] {
    machine.armed = TimePoint::max();
    if (!machine.node) return;
    if (machine.node->next_deadline() <= queue_.now())
      tick(machine);
    else
      arm(machine);
  });
}

void World::tick(Machine& machine) {
  machine.ticks_at_once = machine.last_tick == queue_.now() ? machine.ticks_at_once + 1 : 0;
  machine.last_tick = queue_.now();
  // In swarmd this would be a busy loop; here time would stand still.
  if (machine.ticks_at_once > 100) {
    observer_.failed(
        fmt::format("n{} wants to be called again at once, for ever", machine.index + 1));
    return;
  }
  step(machine, Tick{}, nullptr);
}

void World::step(Machine& machine, const Event& event, const Certificate* from) {
  ++steps_;
  trace(static_cast<std::uint64_t>(queue_.now().time_since_epoch().count()));
  trace(machine.index << 8 | event.index());
  Effects effects = machine.node->step(now(), event);
  observer_.stepped(machine.index, *machine.node, effects, from);
  carry_out(machine, std::move(effects));
  if (!machine.node) return;
  arm(machine);
  if (machine.crash_when_writing && machine.disk->writing()) {
    machine.crash_when_writing = false;
    const Duration soon(static_cast<std::int64_t>(
        machine.random.below(static_cast<std::uint64_t>(parameters_.disk_latency_max.count()))));
    queue_.schedule_after(soon, [this, &machine, boots = machine.boots] {
      if (machine.boots == boots) crash(machine.index);
    });
  }
}

void World::carry_out(Machine& machine, Effects effects) {
  std::size_t done = 0;
  for (Effect& effect : effects) {
    if (machine.crash_after_effects && done >= *machine.crash_after_effects)
      return crash(machine.index);
    carry_out_one(machine, effect);
    if (!machine.node) return;
    ++done;
  }
}

void World::carry_out_one(Machine& machine, Effect& effect) {
  trace(effect.index());
  if (auto* sent = std::get_if<Send>(&effect)) {
    send(machine, sent->to, std::move(sent->message));
  } else if (auto* saved = std::get_if<SaveLocalState>(&effect)) {
    machine.state.reset();
    if (!saved->state.node_id().empty()) machine.state = saved->state;
  } else if (auto* wanted = std::get_if<MakeCsr>(&effect)) {
    machine.key_ticket = wanted->ticket;
    CsrMade made{wanted->ticket, fmt::format("csr {} {}", machine.index, wanted->ticket)};
    queue_.schedule_after(std::chrono::milliseconds(5),
                          [this, &machine, made, boots = machine.boots] {
                            if (machine.node && machine.boots == boots)
                              step(machine, made, nullptr);
                          });
  } else if (auto* installed = std::get_if<InstallCertificate>(&effect)) {
    if (installed->ticket != machine.key_ticket)
      observer_.failed(fmt::format("n{} installs a certificate for a key that it does not have",
                                   machine.index + 1));
    machine.certificate = Certificate{installed->node_id, installed->role};
    ++machine.certificates;
  } else if (auto* answered = std::get_if<Answer>(&effect)) {
    if (auto found = machine.answers.extract(answered->request)) {
      // As an event of its own: what the client does next is not part of this step.
      queue_.schedule_after(
          {}, [on_answer = std::move(found.mapped()), response = std::move(answered->response)] {
            if (on_answer) on_answer(response);
          });
    }
  } else if (auto* fatal = std::get_if<Fatal>(&effect)) {
    observer_.failed(fmt::format("n{} cannot go on: {}", machine.index + 1, fatal->message));
  }
}

World::Machine* World::find(const Endpoint& to) const {
  if (to.connection != 0) return nodes_[to.connection - 1].get();
  for (const auto& machine : nodes_) {
    const bool match = to.node_id.empty() ? machine->address == to.address
                                          : machine->certificate.node_id == to.node_id;
    if (match) return machine.get();
  }
  return nullptr;
}

void World::send(Machine& machine, const Endpoint& to, proto::Envelope message) {
  Machine* receiver = find(to);
  if (receiver == nullptr) return;
  const std::size_t size = message.ByteSizeLong();
  trace(static_cast<std::uint64_t>(message.body_case()) << 32 | size);
  auto shared = std::make_shared<const Received>(
      Received{.from = Endpoint{.node_id = machine.certificate.node_id,
                                .address = machine.address,
                                .connection = machine.index + 1,
                                .role = machine.certificate.role},
               .message = std::move(message)});
  network_.send(static_cast<netsim::SimNetwork::Endpoint>(machine.index),
                static_cast<netsim::SimNetwork::Endpoint>(receiver->index), size,
                [this, receiver, shared](const netsim::Delivery&) {
                  if (!receiver->node) return;
                  const Certificate from{shared->from.node_id, shared->from.role};
                  step(*receiver, *shared, &from);
                });
}

// ---- Requests

std::uint64_t World::expect(Machine& machine, OnAnswer on_answer) {
  machine.answers.emplace(next_request_, std::move(on_answer));
  return next_request_++;
}

bool World::init(std::size_t index, OnAnswer on_answer) {
  Machine& machine = *nodes_[index];
  if (!machine.node) return false;
  Random ids = random_.stream("init");
  Init event;
  event.request = expect(machine, std::move(on_answer));
  event.node_id = new_id(ids);
  event.cluster = default_cluster(new_id(ids));
  event.cluster.mutable_root_ca()->set_certificate_pem("the root's certificate");
  event.cluster.mutable_root_ca()->mutable_join_tokens()->set_worker(worker_token);
  event.cluster.mutable_root_ca()->mutable_join_tokens()->set_manager(manager_token);
  event.advertise_address = machine.address;
  event.certificate_pem = "the first manager's certificate";
  event.certificate_expires_at_ns = to_unix_ns(queue_.wall_now() + parameters_.certificate_life);
  machine.certificate = Certificate{event.node_id, proto::ROLE_MANAGER};
  step(machine, event, nullptr);
  return true;
}

bool World::join(std::size_t index, const std::string& token, std::vector<std::string> managers,
                 OnAnswer on_answer) {
  Machine& machine = *nodes_[index];
  if (!machine.node) return false;
  machine.certificate = {};  // it comes without one
  Join event;
  event.request = expect(machine, std::move(on_answer));
  event.token = token;
  event.managers = std::move(managers);
  event.advertise_address = machine.address;
  step(machine, event, nullptr);
  return true;
}

bool World::leave(std::size_t index, bool force, OnAnswer on_answer) {
  Machine& machine = *nodes_[index];
  if (!machine.node) return false;
  step(machine, Leave{.request = expect(machine, std::move(on_answer)), .force = force}, nullptr);
  return true;
}

bool World::control(std::size_t index, proto::ControlRequest body, OnAnswer on_answer) {
  Machine& machine = *nodes_[index];
  if (!machine.node) return false;
  step(machine, Control{.request = expect(machine, std::move(on_answer)), .body = std::move(body)},
       nullptr);
  return true;
}

// ---- For people

namespace {

std::string describe(const raft::Member& member) {
  std::string text =
      fmt::format(" raft {} id {:x} term {} last {} commit {} applied {} leader {}",
                  static_cast<int>(member.state()), member.id(), member.term(), member.last_index(),
                  member.commit_index(), member.last_applied(), member.leader().address);
  text += member.configuration_committed() ? " of" : " of (uncommitted)";
  for (const raft::Server& server : member.configuration())
    text += fmt::format(" {}/{:x}/{}", server.address, server.id, static_cast<int>(server.role));
  return text;
}

}  // namespace

std::string describe(const World& world) {
  std::string text;
  for (std::size_t i = 0; i < world.size(); ++i) {
    const Certificate& certificate = world.certificate(i);
    text += fmt::format("n{} {} {}", i + 1, world.address(i), certificate.node_id.substr(0, 8));
    text += certificate.role == proto::ROLE_MANAGER ? " manager" : " worker";
    const Node* node = world.node(i);
    if (node == nullptr) {
      text += " down\n";
      continue;
    }
    const NodeView view = node->view();
    text += fmt::format(" state {} \"{}\"", static_cast<int>(view.state), view.error);
    if (node->raft() != nullptr) text += describe(*node->raft());
    if (view.leader) {
      for (const auto& [id, object] : node->store()->nodes())
        text += fmt::format(
            "\n  {} wants {} has {} state {} raft {:x}", id.substr(0, 8),
            proto::Role_Name(object->spec().role()), proto::Role_Name(object->role()),
            proto::NodeState_Name(object->status().state()), object->manager_status().raft_id());
    }
    text += "\n";
  }
  return text;
}

}  // namespace lab::swarm::sim
