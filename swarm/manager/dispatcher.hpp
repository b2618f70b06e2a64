// The leader's sessions with the agents: who is there, and when a node that has gone silent is
// Down. Only sessions and times; what a change of state means for the store is the manager's.
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/random.hpp"
#include "swarm/types.hpp"

namespace lab::swarm::manager {

class Dispatcher {
 public:
  // A node is Down after three heartbeat periods without one.
  static constexpr int missed_heartbeats_max = 3;

  explicit Dispatcher(Random random) : random_(random) {}

  // Begins to lead: nodes that were there under the leader before get time to come back.
  void lead(TimePoint now, Duration period, const std::vector<std::string>& expected);
  void stop() { sessions_.clear(); }

  // A new session replaces the node's old one. Gives its id.
  std::string open(TimePoint now, Duration period, const std::string& node_id);
  // False when this is not the node's session (any more).
  [[nodiscard]] bool heartbeat(TimePoint now, Duration period, const std::string& node_id,
                               const std::string& session_id);
  bool close(const std::string& node_id, const std::string& session_id);
  void forget(const std::string& node_id) { sessions_.erase(node_id); }

  // The nodes whose time is over; they have no session afterwards.
  [[nodiscard]] std::vector<std::string> expire(TimePoint now);
  [[nodiscard]] TimePoint next_deadline() const;

  [[nodiscard]] bool has_session(const std::string& node_id) const;
  [[nodiscard]] std::vector<std::string> nodes_with_sessions() const;

 private:
  struct Session {
    std::string id;  // empty: expected to come back
    TimePoint deadline;
  };
  std::map<std::string, Session> sessions_;  // by node id
  Random random_;
};

}  // namespace lab::swarm::manager
