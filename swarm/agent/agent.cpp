#include "swarm/agent/agent.hpp"

#include <utility>

namespace lab::swarm::agent {

void Agent::start(TimePoint now, std::string node_id, std::string address,
                  std::vector<proto::Peer> managers) {
  running_ = true;
  node_id_ = std::move(node_id);
  address_ = std::move(address);
  managers_ = std::move(managers);
  nonce_ = random_();
  next_ = managers_.empty() ? 0 : random_.below(managers_.size());
  request(now);
}

void Agent::stop(const std::string& reason) {
  if (running_ && !session_id_.empty()) {
    proto::Envelope message;
    message.mutable_session_close()->set_session_id(session_id_);
    message.mutable_session_close()->set_reason(reason);
    outbox_.send(manager_, std::move(message));
  }
  running_ = false;
  session_id_.clear();
  deadline_ = TimePoint::max();
}

void Agent::describe(const proto::NodeDescription& description) {
  description_ = description;
  description_changed_ = true;
}

void Agent::reconnect(TimePoint now) {
  if (!running_) return;
  session_id_.clear();
  pause(now, Duration::zero());
}

void Agent::turn_to(TimePoint now, proto::Peer manager) {
  hint_ = std::move(manager);
  hints_followed_ = 0;
  reconnect(now);
}

Endpoint Agent::target() const {
  if (!session_id_.empty()) return manager_;
  if (hint_) return Endpoint{.node_id = hint_->node_id(), .address = hint_->address()};
  if (managers_.empty()) return {};
  const proto::Peer& peer = managers_[next_ % managers_.size()];
  return Endpoint{.node_id = peer.node_id(), .address = peer.address()};
}

void Agent::next_manager() {
  hint_.reset();
  hints_followed_ = 0;
  ++next_;
}

void Agent::pause(TimePoint now, Duration duration) {
  state_ = State::pausing;
  deadline_ = now + duration;
}

void Agent::request(TimePoint now) {
  session_id_.clear();
  manager_ = target();
  if (manager_.address.empty()) return pause(now, answer_timeout);
  proto::Envelope message;
  proto::SessionRequest& body = *message.mutable_session_request();
  body.set_nonce(++nonce_);
  *body.mutable_description() = description_;
  body.set_address(address_);
  description_changed_ = false;
  outbox_.send(manager_, std::move(message));
  state_ = State::requesting;
  deadline_ = now + answer_timeout;
}

void Agent::beat(TimePoint now) {
  proto::Envelope message;
  proto::Heartbeat& body = *message.mutable_heartbeat();
  body.set_session_id(session_id_);
  body.set_sequence(++sequence_);
  if (std::exchange(description_changed_, false)) *body.mutable_description() = description_;
  outbox_.send(manager_, std::move(message));
  state_ = State::beating;
  deadline_ = now + answer_timeout;
}

void Agent::tick(TimePoint now) {
  if (!running_ || now < deadline_) return;
  switch (state_) {
    case State::pausing: return request(now);
    case State::active: return beat(now);
    case State::requesting:
      refusal_ = "no answer from the manager at " + manager_.address;
      next_manager();
      return pause(now, retry_pause);
    case State::beating:
      // The manager may be well and the message lost: the same one is among those asked.
      refusal_ = "no answer from the manager at " + manager_.address;
      session_id_.clear();
      next_manager();
      return request(now);
  }
}

void Agent::adopt(TimePoint now, const proto::SessionUpdate& update) {
  period_ = update.heartbeat_period_ns() > 0 ? Duration(update.heartbeat_period_ns())
                                             : Duration(std::chrono::seconds(5));
  if (update.managers_size() > 0) {
    managers_.assign(update.managers().begin(), update.managers().end());
    next_ %= managers_.size();
  }
  update_ = update;
  if (state_ == State::active) return;
  state_ = State::active;
  // 5 s +- 0.5 s, as SwarmKit: agents that began together drift apart.
  const std::int64_t tenth = period_.count() / 10;
  deadline_ = now + period_ + Duration(random_.between(-tenth, tenth));
}

void Agent::refused(TimePoint now, const proto::Status& status) {
  session_id_.clear();
  refusal_ = status.message();
  const bool forbidden = status.code() == static_cast<unsigned>(Code::forbidden);
  refused_for_good_ = refused_for_good_ || forbidden;
  const bool redirected = status.has_leader() && !status.leader().address().empty() &&
                          status.leader().address() != manager_.address && hints_followed_ < 3;
  if (redirected) {
    ++hints_followed_;
    hint_ = status.leader();
    return request(now);
  }
  next_manager();
  pause(now, forbidden ? period_ : retry_pause);
}

void Agent::on_response(TimePoint now, const Endpoint& from,
                        const proto::SessionResponse& response) {
  if (state_ != State::requesting || response.nonce() != nonce_) return;
  if (!response.status().ok()) return refused(now, response.status());
  session_id_ = response.session_id();
  manager_.node_id = from.node_id;
  hints_followed_ = 0;
  hint_.reset();
  refusal_.clear();
  refused_for_good_ = false;
  adopt(now, response.update());
}

void Agent::on_heartbeat(TimePoint now, const proto::HeartbeatResponse& response) {
  if (state_ != State::beating || response.session_id() != session_id_ ||
      response.sequence() != sequence_)
    return;
  if (!response.status().ok()) return refused(now, response.status());
  adopt(now, response.update());
}

bool Agent::receive(TimePoint now, const Endpoint& from, const proto::Envelope& message) {
  switch (message.body_case()) {
    case proto::Envelope::kSessionResponse:
      if (running_) on_response(now, from, message.session_response());
      return true;
    case proto::Envelope::kHeartbeatResponse:
      if (running_) on_heartbeat(now, message.heartbeat_response());
      return true;
    case proto::Envelope::kSessionUpdate:
      if (running_ && !session_id_.empty() && from.node_id == manager_.node_id &&
          (state_ == State::active || state_ == State::beating)) {
        const State before = state_;
        const TimePoint deadline = deadline_;
        state_ = State::active;  // the heartbeat's schedule stays
        adopt(now, message.session_update());
        state_ = before;
        deadline_ = deadline;
      }
      return true;
    default: return false;
  }
}

std::optional<proto::SessionUpdate> Agent::take_update() { return std::exchange(update_, {}); }

}  // namespace lab::swarm::agent
