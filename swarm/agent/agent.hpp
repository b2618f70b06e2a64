// The agent of a node: keeps a session with the leading manager, sends heartbeats, and turns to
// another manager when this one is silent. What it learns (role, managers) is told to Node.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "base/random.hpp"
#include "swarm/node/events.hpp"

namespace lab::swarm::agent {

class Agent {
 public:
  // An answer that takes longer makes the agent turn to another manager.
  static constexpr Duration answer_timeout = std::chrono::seconds(2);
  static constexpr Duration retry_pause = std::chrono::milliseconds(500);

  Agent(Outbox& outbox, Random random) : outbox_(outbox), random_(random) {}

  // `address` is the node's own, without a port.
  void start(TimePoint now, std::string node_id, std::string address,
             std::vector<proto::Peer> managers);
  // Ends the session, if there is one; the managers see the node Down at once.
  void stop(const std::string& reason);
  [[nodiscard]] bool running() const { return running_; }

  // What the machine is; told to the manager with the next heartbeat.
  void describe(const proto::NodeDescription& description);
  // The certificate changed: the session begins anew under it.
  void reconnect(TimePoint now);
  // The session begins anew, with this manager first.
  void turn_to(TimePoint now, proto::Peer manager);

  // True when `message` was for the agent. After it, take_update() may have news.
  bool receive(TimePoint now, const Endpoint& from, const proto::Envelope& message);
  void tick(TimePoint now);
  [[nodiscard]] TimePoint next_deadline() const { return running_ ? deadline_ : TimePoint::max(); }

  [[nodiscard]] std::optional<proto::SessionUpdate> take_update();
  [[nodiscard]] const std::vector<proto::Peer>& managers() const { return managers_; }
  // Whom to ask first: the manager of the session, or where the last answer pointed.
  [[nodiscard]] Endpoint target() const;
  [[nodiscard]] bool connected() const { return state_ == State::active; }
  // Why there is no session, in the managers' words; empty when there is one.
  [[nodiscard]] const std::string& refusal() const { return refusal_; }
  // The swarm does not know this node any more.
  [[nodiscard]] bool refused_for_good() const { return refused_for_good_; }

 private:
  enum class State : std::uint8_t {
    pausing,     // until deadline_, then ask the next manager
    requesting,  // asked for a session; until deadline_
    active,      // next heartbeat at deadline_
    beating,     // heartbeat sent, its answer due by deadline_
  };

  void request(TimePoint now);
  void pause(TimePoint now, Duration duration);
  void next_manager();
  void adopt(TimePoint now, const proto::SessionUpdate& update);
  void refused(TimePoint now, const proto::Status& status);
  void on_response(TimePoint now, const Endpoint& from, const proto::SessionResponse& response);
  void on_heartbeat(TimePoint now, const proto::HeartbeatResponse& response);
  void beat(TimePoint now);

  Outbox& outbox_;
  Random random_;
  bool running_ = false;
  State state_ = State::pausing;
  TimePoint deadline_ = TimePoint::max();
  std::string node_id_, address_;
  proto::NodeDescription description_;
  bool description_changed_ = false;
  std::vector<proto::Peer> managers_;
  std::size_t next_ = 0;             // in managers_
  std::optional<proto::Peer> hint_;  // the leader, as a manager told us
  int hints_followed_ = 0;
  Endpoint manager_;  // of the session, or being asked
  std::string session_id_;
  std::uint64_t nonce_ = 0, sequence_ = 0;
  Duration period_ = std::chrono::seconds(5);
  std::string refusal_;
  bool refused_for_good_ = false;
  std::optional<proto::SessionUpdate> update_;
};

}  // namespace lab::swarm::agent
