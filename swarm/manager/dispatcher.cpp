#include "swarm/manager/dispatcher.hpp"

#include "swarm/node/node.hpp"

namespace lab::swarm::manager {

void Dispatcher::lead(TimePoint now, Duration period, const std::vector<std::string>& expected) {
  sessions_.clear();
  // One period more than usual: the agents have to find the new leader first.
  for (const std::string& id : expected)
    sessions_[id] = Session{.id = {}, .deadline = now + period * (missed_heartbeats_max + 1)};
}

std::string Dispatcher::open(TimePoint now, Duration period, const std::string& node_id) {
  Session& session = sessions_[node_id];
  session = Session{.id = new_id(random_), .deadline = now + period * missed_heartbeats_max};
  return session.id;
}

bool Dispatcher::heartbeat(TimePoint now, Duration period, const std::string& node_id,
                           const std::string& session_id) {
  auto found = sessions_.find(node_id);
  if (found == sessions_.end() || session_id.empty() || found->second.id != session_id)
    return false;
  found->second.deadline = now + period * missed_heartbeats_max;
  return true;
}

bool Dispatcher::close(const std::string& node_id, const std::string& session_id) {
  auto found = sessions_.find(node_id);
  if (found == sessions_.end() || session_id.empty() || found->second.id != session_id)
    return false;
  sessions_.erase(found);
  return true;
}

std::vector<std::string> Dispatcher::expire(TimePoint now) {
  std::vector<std::string> expired;
  for (auto it = sessions_.begin(); it != sessions_.end();) {
    if (it->second.deadline <= now) {
      expired.push_back(it->first);
      it = sessions_.erase(it);
    } else {
      ++it;
    }
  }
  return expired;
}

TimePoint Dispatcher::next_deadline() const {
  TimePoint next = TimePoint::max();
  for (const auto& [id, session] : sessions_) next = std::min(next, session.deadline);
  return next;
}

bool Dispatcher::has_session(const std::string& node_id) const {
  auto found = sessions_.find(node_id);
  return found != sessions_.end() && !found->second.id.empty();
}

std::vector<std::string> Dispatcher::nodes_with_sessions() const {
  std::vector<std::string> nodes;
  for (const auto& [id, session] : sessions_)
    if (!session.id.empty()) nodes.push_back(id);
  return nodes;
}

}  // namespace lab::swarm::manager
