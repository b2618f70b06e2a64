// The agents' sessions, on the leader.
#include "swarm/manager/manager.hpp"
#include "swarm/manager/status.hpp"
#include "swarm/proto/bytes.hpp"

namespace lab::swarm::manager {

namespace {

Error no_longer_in_swarm(const std::string& node_id) {
  return make_error(Code::forbidden, "node {} is not part of the swarm (any more)", node_id);
}

// What makes an update news: all but the version.
std::string essence(proto::SessionUpdate update) {
  update.clear_store_version();
  return to_bytes(update);
}

}  // namespace

proto::SessionUpdate Manager::session_update(const proto::Node& node) const {
  proto::SessionUpdate update;
  update.set_wanted_role(node.spec().role());
  update.set_certificate_role(node.role());
  update.set_availability(node.spec().availability());
  update.set_heartbeat_period_ns(heartbeat_period().count());
  update.set_raft_id(node.manager_status().raft_id());
  update.set_store_version(store_.version());
  for (proto::Peer& peer : peers()) *update.add_managers() = std::move(peer);
  return update;
}

void Manager::on_session(const Endpoint& from, const proto::SessionRequest& request) {
  proto::Envelope message;
  proto::SessionResponse& response = *message.mutable_session_response();
  response.set_nonce(request.nonce());
  const store::NodePtr node = store_.node(from.node_id);
  if (!leading_) {
    *response.mutable_status() = not_leader();
    return reply(from, std::move(message));
  }
  if (!node || removed(from.node_id)) {
    *response.mutable_status() = to_status(no_longer_in_swarm(from.node_id));
    return reply(from, std::move(message));
  }
  *response.mutable_status() = ok_status();
  response.set_session_id(dispatcher_.open(now_.monotonic, heartbeat_period(), from.node_id));
  *response.mutable_update() = session_update(*node);
  told_[from.node_id] = essence(response.update());
  reply(from, std::move(message));
  writer_.submit([id = from.node_id, request](store::Draft& draft) -> Result<void> {
    const store::NodePtr current = draft.node(id);
    if (!current) return no_longer_in_swarm(id);
    proto::Node changed = *current;
    *changed.mutable_description() = request.description();
    changed.mutable_status()->set_state(proto::NODE_STATE_READY);
    changed.mutable_status()->clear_message();
    if (!request.address().empty()) changed.mutable_status()->set_address(request.address());
    if (to_bytes(changed) != to_bytes(*current)) draft.put(std::move(changed));
    return {};
  });
}

void Manager::on_heartbeat(const Endpoint& from, const proto::Heartbeat& heartbeat) {
  proto::Envelope message;
  proto::HeartbeatResponse& response = *message.mutable_heartbeat_response();
  response.set_session_id(heartbeat.session_id());
  response.set_sequence(heartbeat.sequence());
  const store::NodePtr node = store_.node(from.node_id);
  if (!leading_) {
    *response.mutable_status() = not_leader();
  } else if (!node || removed(from.node_id)) {
    *response.mutable_status() = to_status(no_longer_in_swarm(from.node_id));
  } else if (!dispatcher_.heartbeat(now_.monotonic, heartbeat_period(), from.node_id,
                                    heartbeat.session_id())) {
    *response.mutable_status() = to_status(Error{Code::not_found, "the session has ended"});
  } else {
    *response.mutable_status() = ok_status();
    *response.mutable_update() = session_update(*node);
    told_[from.node_id] = essence(response.update());
    if (heartbeat.has_description()) {
      writer_.submit([id = from.node_id, heartbeat](store::Draft& draft) -> Result<void> {
        const store::NodePtr current = draft.node(id);
        if (!current) return no_longer_in_swarm(id);
        proto::Node changed = *current;
        *changed.mutable_description() = heartbeat.description();
        if (to_bytes(changed) != to_bytes(*current)) draft.put(std::move(changed));
        return {};
      });
    }
  }
  reply(from, std::move(message));
}

void Manager::on_session_close(const Endpoint& from, const proto::SessionClose& close) {
  if (leading_ && dispatcher_.close(from.node_id, close.session_id()))
    mark(from.node_id, proto::NODE_STATE_DOWN, close.reason());
}

void Manager::mark(const std::string& node_id, proto::NodeState state, const std::string& message) {
  writer_.submit([this, node_id, state, message](store::Draft& draft) -> Result<void> {
    const store::NodePtr current = draft.node(node_id);
    // A session that was opened in the meantime has the last word.
    if (!current || current->status().state() == state || dispatcher_.has_session(node_id))
      return {};
    proto::Node changed = *current;
    changed.mutable_status()->set_state(state);
    changed.mutable_status()->set_message(message);
    draft.put(std::move(changed));
    return {};
  });
}

void Manager::push_updates() {
  for (const std::string& id : dispatcher_.nodes_with_sessions()) {
    const store::NodePtr node = store_.node(id);
    if (!node) continue;
    proto::Envelope message;
    *message.mutable_session_update() = session_update(*node);
    std::string bytes = essence(message.session_update());
    std::string& told = told_[id];
    if (told == bytes) continue;
    told = std::move(bytes);
    outbox_.send(Endpoint{.node_id = id}, std::move(message));
  }
}

}  // namespace lab::swarm::manager
