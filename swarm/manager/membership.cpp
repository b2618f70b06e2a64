// Roles of nodes and membership of the Raft group, on the leader. Every second, and at once when an
// object changes, what is asked for (spec.role) is compared with what there is, and one step is
// taken; a step that fails is taken again.
#include <algorithm>

#include "swarm/manager/manager.hpp"
#include "swarm/manager/status.hpp"

namespace lab::swarm::manager {

namespace {

const raft::Server* find(const std::vector<raft::Server>& servers, std::uint64_t id) {
  auto found =
      std::find_if(servers.begin(), servers.end(), [id](const auto& s) { return s.id == id; });
  return found == servers.end() ? nullptr : &*found;
}

}  // namespace

raft::Done Manager::membership_done() {
  membership_busy_ = true;
  return [this, term = member_->term()](const Result<void>& done) {
    if (member_->term() != term) return;
    membership_busy_ = false;
    updates_due_ = true;
    if (done) reconcile_at_ = now_.monotonic;
  };
}

void Manager::on_raft_join(const Endpoint& from, const proto::RaftJoinRequest& request) {
  auto refuse = [&](proto::Status status) {
    proto::Envelope message;
    message.mutable_raft_join_response()->set_nonce(request.nonce());
    *message.mutable_raft_join_response()->mutable_status() = std::move(status);
    reply(from, std::move(message));
  };
  if (!leading_) return refuse(not_leader());
  const store::NodePtr node = store_.node(from.node_id);
  if (from.role != proto::ROLE_MANAGER || !node || node->role() != proto::ROLE_MANAGER ||
      node->spec().role() != proto::ROLE_MANAGER)
    return refuse(
        to_status(make_error(Code::forbidden, "node {} is not to be a manager", from.node_id)));
  writer_.submit(
      [this, id = from.node_id, address = request.address()](store::Draft& draft) -> Result<void> {
        const store::NodePtr current = draft.node(id);
        if (!current || current->role() != proto::ROLE_MANAGER)
          return make_error(Code::forbidden, "node {} is not to be a manager", id);
        if (current->manager_status().raft_id() != 0) return {};
        proto::Node changed = *current;
        std::uint64_t raft_id = 0;
        while (raft_id == 0 || node_of(raft_id)) raft_id = random_();
        changed.mutable_manager_status()->set_raft_id(raft_id);
        changed.mutable_manager_status()->set_address(address);
        draft.put(std::move(changed));
        return {};
      },
      [this, from, nonce = request.nonce()](Result<std::uint64_t> written) {
        if (written && leading_) finish_raft_join(from, nonce);
      });
}

void Manager::finish_raft_join(const Endpoint& to, std::uint64_t nonce) {
  const store::NodePtr node = store_.node(to.node_id);
  if (!node) return;
  const std::uint64_t raft_id = node->manager_status().raft_id();
  auto answer = [this, to, nonce, raft_id, version = store_.version()] {
    proto::Envelope message;
    proto::RaftJoinResponse& response = *message.mutable_raft_join_response();
    response.set_nonce(nonce);
    *response.mutable_status() = ok_status();
    response.set_raft_id(raft_id);
    response.set_store_version(version);
    for (proto::Peer& peer : peers()) *response.add_managers() = std::move(peer);
    reply(to, std::move(message));
  };
  if (find(member_->configuration(), raft_id) != nullptr) {
    if (member_->configuration_committed()) answer();
    return;
  }
  if (membership_busy_) return;  // it asks again
  raft::Done done = membership_done();
  member_->add(now_.monotonic, raft_id, node->manager_status().address(),
               [answer, done](const Result<void>& added) {
                 done(added);
                 if (added) answer();
               });
}

bool Manager::may_lose(std::uint64_t raft_id) const {
  std::size_t remaining = 0;
  std::size_t reachable = 0;
  for (const raft::Server& server : member_->configuration()) {
    if (server.role != raft::ServerRole::voter || server.id == raft_id) continue;
    ++remaining;
    if (member_->reachable(server.id)) ++reachable;
  }
  return remaining > 0 && reachable > remaining / 2;
}

void Manager::remove_member(std::uint64_t raft_id) {
  if (raft_id == identity_.raft_id) {
    // Another leader removes this one.
    if (may_lose(raft_id)) member_->transfer(now_.monotonic, 0, membership_done());
    return;
  }
  const raft::Server* server = nullptr;
  const std::vector<raft::Server> servers = member_->configuration();
  server = find(servers, raft_id);
  if (server != nullptr && server->role == raft::ServerRole::voter && !may_lose(raft_id)) return;
  member_->remove(now_.monotonic, raft_id, membership_done());
}

bool Manager::reconcile_member(const proto::Node& node, const std::vector<raft::Server>& servers) {
  const bool wanted = node.spec().role() == proto::ROLE_MANAGER;
  const std::uint64_t raft_id = node.manager_status().raft_id();
  const raft::Server* server = raft_id == 0 ? nullptr : find(servers, raft_id);
  if (wanted && server != nullptr && server->role != raft::ServerRole::voter &&
      dispatcher_.has_session(node.id())) {
    member_->assign(now_.monotonic, raft_id, raft::ServerRole::voter, membership_done());
    return true;
  }
  if (!wanted && server != nullptr) {
    remove_member(raft_id);
    return true;
  }
  return false;
}

void Manager::reconcile() {
  const std::vector<raft::Server> servers = member_->configuration();
  const bool settled = member_->configuration_committed() && !membership_busy_;
  for (const auto& [id, node] : store_.nodes()) {
    const bool promote =
        node->spec().role() == proto::ROLE_MANAGER && node->role() == proto::ROLE_WORKER;
    const bool demote = node->spec().role() == proto::ROLE_WORKER &&
                        node->role() == proto::ROLE_MANAGER && settled &&
                        find(servers, node->manager_status().raft_id()) == nullptr;
    // Taken out of the group for a demotion that was then called off: it joins anew, under a new
    // Raft id.
    const bool rejoin = node->spec().role() == proto::ROLE_MANAGER &&
                        node->role() == proto::ROLE_MANAGER && settled &&
                        node->manager_status().raft_id() != 0 &&
                        find(servers, node->manager_status().raft_id()) == nullptr;
    if ((!promote && !demote && !rejoin) || !role_writes_.insert(id).second) continue;
    writer_.submit(
        [this, id](store::Draft& draft) -> Result<void> {
          const store::NodePtr current = draft.node(id);
          if (!current) return {};
          // A join may have come in between.
          const std::uint64_t raft_id = current->manager_status().raft_id();
          const bool member = raft_id != 0 && find(member_->configuration(), raft_id) != nullptr;
          const bool promotion = current->spec().role() == proto::ROLE_MANAGER &&
                                 current->role() == proto::ROLE_WORKER;
          if (!promotion && (member || (raft_id == 0 && current->role() == current->spec().role())))
            return {};
          proto::Node changed = *current;
          changed.set_role(current->spec().role());
          changed.clear_manager_status();
          draft.put(std::move(changed));
          return {};
        },
        [this, id](const Result<std::uint64_t>&) { role_writes_.erase(id); });
  }
  if (!settled) return;
  for (const auto& [id, node] : store_.nodes())
    if (reconcile_member(*node, servers)) return;
  for (const raft::Server& server : servers)
    if (server.id != identity_.raft_id && !node_of(server.id)) return remove_member(server.id);
}

proto::ManagerStatus Manager::manager_status(const raft::Server& server) const {
  proto::ManagerStatus status;
  status.set_raft_id(server.id);
  status.set_address(server.address);
  status.set_leader(server.id == member_->id() && leading_);
  status.set_reachability(member_->reachable(server.id) ? proto::REACHABILITY_REACHABLE
                                                        : proto::REACHABILITY_UNREACHABLE);
  return status;
}

}  // namespace lab::swarm::manager
