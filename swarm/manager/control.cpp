// Writes for API clients: carried out by the leader, passed on by the others.
#include <utility>

#include "swarm/manager/manager.hpp"
#include "swarm/manager/status.hpp"

namespace lab::swarm::manager {

namespace {

constexpr Duration resend_interval = std::chrono::seconds(1);
constexpr const char* leader_changed =
    "the swarm's leader changed while the request was under way; it may or may not have been "
    "carried out";
constexpr Duration served_life = std::chrono::seconds(60);

// The words are SwarmKit's, which clients print and scripts look for.
Error precondition(const std::string& text) {
  return Error{Code::invalid_argument, "rpc error: code = FailedPrecondition desc = " + text};
}

Error out_of_sequence() {
  return Error{Code::internal, "rpc error: code = Unknown desc = update out of sequence"};
}

std::size_t managers_wanted(const store::NodeMap& nodes) {
  std::size_t count = 0;
  for (const auto& [id, node] : nodes)
    if (node->spec().role() == proto::ROLE_MANAGER) ++count;
  return count;
}

proto::ControlResponse failed(const Error& error) {
  proto::ControlResponse response;
  *response.mutable_status() = to_status(error);
  return response;
}

}  // namespace

// ---- Carrying out, on the leader

Result<void> Manager::update_node(store::Draft& draft, const proto::UpdateNode& request) {
  const store::NodePtr current = draft.node(request.node_id());
  if (!current) return make_error(Code::not_found, "node {} not found", request.node_id());
  if (current->meta().version() != request.version()) return out_of_sequence();
  const bool demotes =
      current->spec().role() == proto::ROLE_MANAGER && request.spec().role() == proto::ROLE_WORKER;
  if (demotes && managers_wanted(draft.nodes()) <= 1)
    return precondition("attempting to demote the last manager of the swarm");
  if (demotes && current->manager_status().raft_id() != 0 &&
      !may_lose(current->manager_status().raft_id()))
    return precondition("can't remove member from the raft: this would result in a loss of quorum");
  proto::Node changed = *current;
  *changed.mutable_spec() = request.spec();
  draft.put(std::move(changed));
  return {};
}

Result<void> Manager::remove_node(store::Draft& draft, const proto::RemoveNode& request) {
  const std::string& id = request.node_id();
  const store::NodePtr current = draft.node(id);
  if (!current) return make_error(Code::not_found, "node {} not found", id);
  const bool member = current->manager_status().raft_id() != 0;
  if (current->spec().role() == proto::ROLE_MANAGER || member)
    return precondition(fmt::format(
        "node {} is a cluster manager and is a member of the raft cluster. It must be demoted to "
        "worker before removal",
        id));
  if (!request.force() && current->status().state() == proto::NODE_STATE_READY)
    return precondition(fmt::format("node {} is not down and can't be removed", id));
  proto::Cluster cluster = *draft.cluster();
  const std::int64_t now = to_unix_ns(now_.wall);
  for (const auto& [gone, removal] : draft.cluster()->removed_nodes())
    if (removal.certificate_expires_at_ns() < now) cluster.mutable_removed_nodes()->erase(gone);
  (*cluster.mutable_removed_nodes())[id].set_certificate_expires_at_ns(
      current->certificate_expires_at_ns());
  draft.put(std::move(cluster));
  draft.remove_node(id);
  return {};
}

Result<void> Manager::update_cluster(store::Draft& draft, const proto::UpdateCluster& request) {
  const store::ClusterPtr current = draft.cluster();
  if (!current) return Error{Code::not_found, "there is no swarm yet"};
  if (current->meta().version() != request.version()) return out_of_sequence();
  proto::Cluster changed = *current;
  if (request.has_spec()) *changed.mutable_spec() = request.spec();
  proto::JoinTokens& tokens = *changed.mutable_root_ca()->mutable_join_tokens();
  if (!request.new_tokens().worker().empty()) tokens.set_worker(request.new_tokens().worker());
  if (!request.new_tokens().manager().empty()) tokens.set_manager(request.new_tokens().manager());
  draft.put(std::move(changed));
  return {};
}

proto::ControlResponse Manager::list_managers() const {
  proto::ControlResponse response;
  *response.mutable_status() = ok_status();
  response.set_store_version(store_.version());
  for (const raft::Server& server : member_->configuration()) {
    const store::NodePtr node = node_of(server.id);
    if (!node) continue;
    proto::ManagerStatusOfNode& entry = *response.add_managers();
    entry.set_node_id(node->id());
    *entry.mutable_status() = manager_status(server);
  }
  return response;
}

void Manager::execute(const proto::ControlRequest& body, Respond respond) {
  if (body.request_case() == proto::ControlRequest::kListManagers) return respond(list_managers());
  writer_.submit(
      [this, body](store::Draft& draft) -> Result<void> {
        switch (body.request_case()) {
          case proto::ControlRequest::kUpdateNode: return update_node(draft, body.update_node());
          case proto::ControlRequest::kRemoveNode: return remove_node(draft, body.remove_node());
          case proto::ControlRequest::kUpdateCluster:
            return update_cluster(draft, body.update_cluster());
          default: return Error{Code::unsupported, "the leader does not know this request"};
        }
      },
      [respond = std::move(respond)](const Result<std::uint64_t>& written) {
        if (!written) return respond(failed(written.error()));
        proto::ControlResponse response;
        *response.mutable_status() = ok_status();
        response.set_store_version(*written);
        respond(std::move(response));
      });
}

void Manager::on_forwarded(const Endpoint& from, const proto::ForwardedControl& forwarded) {
  auto answer = [this, from, id = forwarded.id()](const proto::ControlResponse& response) {
    proto::Envelope message;
    message.mutable_control_response()->set_id(id);
    *message.mutable_control_response()->mutable_response() = response;
    reply(from, std::move(message));
  };
  const store::NodePtr sender = store_.node(from.node_id);
  if (from.role != proto::ROLE_MANAGER || (leading_ && !sender))
    return answer(failed(Error{Code::forbidden, "only managers may change the swarm"}));
  if (!leading_) {
    proto::ControlResponse response;
    *response.mutable_status() = not_leader();
    return answer(response);
  }
  // Sent to this manager's leadership of another term: it may have been done then.
  if (forwarded.term() != member_->term())
    return answer(failed(Error{Code::unavailable, leader_changed}));
  std::erase_if(served_, [this](const auto& item) {
    return item.second.expires <= now_.monotonic && item.second.response;
  });
  const auto key = std::make_pair(from.node_id, forwarded.id());
  auto [served, fresh] = served_.try_emplace(key, Served{now_.monotonic + served_life, {}});
  if (!fresh) {
    if (served->second.response) answer(*served->second.response);
    return;
  }
  execute(forwarded.request(), [this, key, answer](const proto::ControlResponse& response) {
    if (auto found = served_.find(key); found != served_.end()) found->second.response = response;
    answer(response);
  });
}

// ---- Waiting, on the manager that the client asked

void Manager::control(Now now, std::uint64_t request, proto::ControlRequest body) {
  now_ = now;
  Pending pending;
  pending.request = request;
  pending.body = std::move(body);
  pending.deadline = now.monotonic + options_.request_timeout;
  pending.resend_at = now.monotonic;
  pending_.emplace(next_forward_++, std::move(pending));
  advance(now);
}

void Manager::finish(Pending& pending, Result<proto::ControlResponse> response) {
  if (pending.request) outbox_.add(Answer{*pending.request, std::move(response)});
  pending.request.reset();
}

void Manager::on_forwarded_response(const proto::ForwardedControlResponse& response) {
  auto found = pending_.find(response.id());
  if (found == pending_.end() || found->second.answer) return;
  const proto::Status& status = response.response().status();
  const bool elsewhere = !status.ok() && status.code() == static_cast<unsigned>(Code::unavailable);
  if (elsewhere && found->second.sent_to_term != 0) {
    // Refused without being tried ("not the leader"), or leadership was lost half-way; the first
    // may be tried again.
    found->second.error = status.message();
    if (status.has_leader() || status.message() == not_leader().message()) {
      found->second.sent_to_term = 0;
      return;
    }
  }
  found->second.answer = response.response();
  found->second.resend_at = TimePoint::max();
}

bool Manager::advance_one(std::uint64_t id, Pending& pending) {
  if (pending.answer) {
    if (!pending.answer->status().ok()) {
      finish(pending, to_error(pending.answer->status()));
      return true;
    }
    // The client may read its own write here.
    if (store_.version() < pending.answer->store_version() && now_.monotonic < pending.deadline)
      return false;
    finish(pending, *pending.answer);
    return true;
  }
  if (now_.monotonic >= pending.deadline) {
    finish(pending, Error{Code::unavailable,
                          "rpc error: code = Unknown desc = The swarm does not have a leader. It's "
                          "possible that too few managers are online. Make sure more than half of "
                          "the managers are online."});
    return true;
  }
  const std::uint64_t term = member_->term();
  if (pending.sent_to_term != 0 && pending.sent_to_term != term) {
    finish(pending, Error{Code::unavailable, leader_changed});
    return true;
  }
  if (leading_ && pending.sent_to_term == 0) {
    pending.sent_to_term = term;
    pending.resend_at = TimePoint::max();
    execute(pending.body, [this, id](proto::ControlResponse response) {
      if (auto found = pending_.find(id); found != pending_.end())
        found->second.answer = std::move(response);
    });
    return true;
  }
  if (now_.monotonic < pending.resend_at) return false;
  pending.resend_at = now_.monotonic + resend_interval;
  const std::optional<proto::Peer> leader = leader_peer();
  if (!leader || member_->is_leader()) return false;
  proto::Envelope message;
  message.mutable_control()->set_id(id);
  message.mutable_control()->set_term(term);
  *message.mutable_control()->mutable_request() = pending.body;
  outbox_.send(Endpoint{.node_id = leader->node_id(), .address = leader->address()},
               std::move(message));
  pending.sent_to_term = term;
  return false;
}

bool Manager::advance_pending() {
  bool changed = false;
  std::vector<std::uint64_t> ids;
  for (const auto& [id, pending] : pending_) ids.push_back(id);
  for (const std::uint64_t id : ids) {
    auto found = pending_.find(id);
    if (found == pending_.end()) continue;
    changed = advance_one(id, found->second) || changed;
    if (!found->second.request) pending_.erase(id);
  }
  return changed;
}

}  // namespace lab::swarm::manager
