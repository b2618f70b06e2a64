#include "swarm/sim/checker.hpp"

#include "base/digest.hpp"
#include "swarm/proto/bytes.hpp"

namespace lab::swarm::sim {

namespace {

std::string name(std::size_t index) { return fmt::format("n{}", index + 1); }

// What the transaction of the store's version changed. Empty unless every object of it is still as
// that transaction left it, which is so right after it was applied.
std::string newest_change(const store::Store& store) {
  std::string change;
  for (const auto& [id, node] : store.nodes())
    if (node->meta().version() == store.version()) change += to_bytes(*node);
  if (store.cluster() && store.cluster()->meta().version() == store.version())
    change += to_bytes(*store.cluster());
  return change;
}

// The message lets its receiver in: it is given a session, a certificate or membership.
bool lets_in(const proto::Envelope& message) {
  switch (message.body_case()) {
    case proto::Envelope::kSessionResponse: return message.session_response().status().ok();
    case proto::Envelope::kHeartbeatResponse: return message.heartbeat_response().status().ok();
    case proto::Envelope::kIssueResponse: return message.issue_response().status().ok();
    case proto::Envelope::kRaftJoinResponse: return message.raft_join_response().status().ok();
    case proto::Envelope::kControlResponse:
      return message.control_response().response().status().ok();
    case proto::Envelope::kSessionUpdate: return true;
    default: return false;
  }
}

}  // namespace

std::string store_digest(const store::Store& store) {
  return sha256_hex(to_bytes(store.snapshot()));
}

void Checker::failed(std::string violation) {
  if (!violation_) violation_ = std::move(violation);
}

void Checker::stepped(std::size_t index, const Node& node, const Effects& effects,
                      const Certificate* from) {
  if (node.raft() == nullptr) {
    seen_.erase(index);
    return;
  }
  Seen& seen = seen_[index];
  check_leader(index, node);
  check_store(index, node, seen);
  if (from != nullptr && !from->node_id.empty()) check_refusal(index, node, effects, *from);
  const bool leading = node.leading();
  if (leading && !seen.leading) check_acknowledged(index, *node.store());
  seen.leading = leading;
}

void Checker::check_leader(std::size_t index, const Node& node) {
  const raft::Member& member = *node.raft();
  if (!member.is_leader()) return;
  auto [found, fresh] = leaders_.emplace(member.term(), member.id());
  if (!fresh && found->second != member.id())
    failed(fmt::format("term {} has two leaders: {} (Raft id {}) and Raft id {}", member.term(),
                       name(index), member.id(), found->second));
}

void Checker::check_store(std::size_t index, const Node& node, Seen& seen) {
  const store::Store& store = *node.store();
  if (store.version() == seen.version) return;
  if (store.version() < seen.version)
    failed(fmt::format("the store of {} went back from version {} to {}", name(index), seen.version,
                       store.version()));
  // Several transactions in one step: those before the last can't be told apart any more.
  if (store.version() == seen.version + 1) {
    const std::string digest = newest_change(store);
    auto [found, fresh] = history_.emplace(store.version(), digest);
    if (!fresh && found->second != digest)
      failed(fmt::format("{} applied another transaction as version {} than a manager before it",
                         name(index), store.version()));
  }
  seen.version = store.version();
  if (!store.cluster()) return;
  for (const auto& [id, removal] : store.cluster()->removed_nodes())
    if (store.node(id)) failed(fmt::format("{} holds node {}, which was removed", name(index), id));
}

void Checker::check_refusal(std::size_t index, const Node& node, const Effects& effects,
                            const Certificate& from) {
  if (!removed_.contains(from.node_id)) return;
  // A manager that has not caught up cannot know; only the leader's word counts, and a deposed
  // leader's only until the next one is elected.
  const store::Store& store = *node.store();
  const bool knows = store.cluster() && store.cluster()->removed_nodes().contains(from.node_id);
  const bool leads =
      node.leading() && !leaders_.empty() && node.raft()->term() >= leaders_.rbegin()->first;
  if (leads && !knows)
    failed(fmt::format("{} leads and does not know that node {} was removed", name(index),
                       from.node_id));
  if (!knows) return;
  ++refusals_;
  for (const Effect& effect : effects) {
    const auto* sent = std::get_if<Send>(&effect);
    if (sent != nullptr && sent->to.node_id == from.node_id && lets_in(sent->message))
      failed(fmt::format("{} let node {} in, which was removed", name(index), from.node_id));
  }
}

void Checker::check_acknowledged(std::size_t index, const store::Store& store) {
  for (const auto& [where, value] : labels_) {
    const auto& [node_id, key] = where;
    if (perhaps_removed(node_id)) continue;
    const store::NodePtr node = store.node(node_id);
    if (!node) {
      failed(fmt::format("{} leads without node {}", name(index), node_id));
      continue;
    }
    auto found = node->spec().labels().find(key);
    const std::uint64_t held =
        found == node->spec().labels().end() ? 0 : std::stoull(found->second);
    if (held < value)
      failed(fmt::format("{} leads with label {}={} of node {}; {} was acknowledged", name(index),
                         key, held, node_id, value));
  }
  for (const std::string& id : removed_)
    if (store.node(id)) failed(fmt::format("{} leads with removed node {}", name(index), id));
}

void Checker::label_acknowledged(const std::string& node_id, const std::string& key,
                                 std::uint64_t value) {
  labels_[{node_id, key}] = value;
}

std::string Checker::not_converged(const World& world) {
  std::map<std::string, std::size_t> by_id;
  std::optional<std::size_t> leader;
  for (std::size_t i = 0; i < world.size(); ++i) {
    if (!world.up(i)) return name(i) + " is down";
    by_id[world.certificate(i).node_id] = i;
    if (!world.node(i)->leading()) continue;
    if (leader) return fmt::format("{} and {} both lead", name(*leader), name(i));
    leader = i;
  }
  if (!leader) return "there is no leader";
  const store::Store& store = *world.node(*leader)->store();
  std::size_t managers = 0;
  for (const auto& [id, object] : store.nodes()) {
    auto found = by_id.find(id);
    // A join whose answer was lost, and that its machine gave up, leaves a node behind.
    if (found == by_id.end()) continue;
    const Node& node = *world.node(found->second);
    const std::string who = name(found->second);
    if (object->status().state() != proto::NODE_STATE_READY) return who + " is not Ready";
    if (object->role() != object->spec().role()) return who + " has not the role asked for";
    if (world.certificate(found->second).role != object->role())
      return who + " has not the certificate of its role";
    if (object->role() == proto::ROLE_WORKER) {
      if (node.raft() != nullptr) return who + " is a worker with a Raft log";
      continue;
    }
    ++managers;
    if (node.raft() == nullptr || !node.view().control_available)
      return who + " is a manager without the store";
    if (node.store()->version() != store.version()) return who + " has not caught up";
  }
  const std::vector<raft::Server> servers = world.node(*leader)->raft()->configuration();
  if (servers.size() != managers)
    return fmt::format("{} Raft servers, {} managers", servers.size(), managers);
  for (const raft::Server& server : servers)
    if (server.role != raft::ServerRole::voter)
      return fmt::format("the Raft server at {} does not vote", server.address);
  return {};
}

void Checker::check_end(const World& world) {
  std::optional<std::string> digest;
  for (std::size_t i = 0; i < world.size(); ++i) {
    const Node& node = *world.node(i);
    const std::string& id = world.certificate(i).node_id;
    if (removed_.contains(id) && node.view().state == LocalNodeState::active)
      failed(fmt::format("{} was removed and has a session", name(i)));
    if (node.raft() == nullptr || !node.view().control_available || removed_.contains(id)) continue;
    check_acknowledged(i, *node.store());
    const std::string own = store_digest(*node.store());
    if (digest && own != *digest) failed(name(i) + " has another store than the others");
    digest = own;
  }
}

}  // namespace lab::swarm::sim
