// Nodes of a swarm in virtual time: the same swarm::Node as in swarmd, over a simulated network and
// simulated disks. The world carries out the nodes' effects; what happens to them is its user's.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "netsim/event_queue.hpp"
#include "netsim/sim_network.hpp"
#include "swarm/node/node.hpp"
#include "swarm/sim/disk.hpp"
#include "swarm/sim/parameters.hpp"

namespace lab::swarm::sim {

// What a node's certificate says. The simulation has no cryptography: the world hands the receiver
// of a message the certificate that its sender holds.
struct Certificate {
  std::string node_id;
  proto::Role role = proto::ROLE_WORKER;
};

class World {
 public:
  using OnAnswer = std::function<void(const Result<proto::ControlResponse>&)>;

  // Told of every step of a node, after its effects were taken.
  class Observer {
   public:
    virtual ~Observer() = default;
    // `from` is the sender of the message that the step was about; null otherwise.
    virtual void stepped(std::size_t index, const Node& node, const Effects& effects,
                         const Certificate* from) = 0;
    virtual void stopped(std::size_t index) = 0;  // crashed
    virtual void failed(std::string violation) = 0;
  };

  World(const Parameters& parameters, Mutation mutation, Observer& observer);
  World(const World&) = delete;
  World& operator=(const World&) = delete;
  ~World();

  // A machine that is not in the swarm yet.
  std::size_t add_node();
  [[nodiscard]] std::size_t size() const { return nodes_.size(); }
  // Null while it is down.
  [[nodiscard]] const Node* node(std::size_t index) const;
  [[nodiscard]] bool up(std::size_t index) const { return node(index) != nullptr; }
  [[nodiscard]] std::string address(std::size_t index) const;
  [[nodiscard]] const Certificate& certificate(std::size_t index) const;
  [[nodiscard]] std::uint64_t certificates_installed(std::size_t index) const;
  [[nodiscard]] const Disk::Counters& disk_counters(std::size_t index) const;

  void crash(std::size_t index);
  // The next step of the node breaks off after some of its effects.
  void crash_within_next_step(std::size_t index);
  // Crashes soon after the node has submitted its next write to the log.
  void crash_during_write(std::size_t index);
  void restart(std::size_t index);
  // The machine is gone and another one, with an empty disk, stands at its address.
  void replace(std::size_t index);

  // Requests to the node's own API; false when it is down. An answer may never come (crash).
  bool init(std::size_t index, OnAnswer on_answer);
  bool join(std::size_t index, const std::string& token, std::vector<std::string> managers,
            OnAnswer on_answer);
  bool leave(std::size_t index, bool force, OnAnswer on_answer);
  bool control(std::size_t index, proto::ControlRequest body, OnAnswer on_answer);

  [[nodiscard]] netsim::EventQueue& queue() { return queue_; }
  [[nodiscard]] netsim::SimNetwork& network() { return network_; }
  [[nodiscard]] std::uint64_t trace_hash() const;
  [[nodiscard]] std::uint64_t steps() const { return steps_; }

  static constexpr const char* worker_token = "SWMTKN-1-simulated-worker";
  static constexpr const char* manager_token = "SWMTKN-1-simulated-manager";

 private:
  struct Machine;

  [[nodiscard]] Now now() const { return Now{queue_.now(), queue_.wall_now()}; }
  void boot(Machine& machine);
  void step(Machine& machine, const Event& event, const Certificate* from);
  void carry_out(Machine& machine, Effects effects);
  void carry_out_one(Machine& machine, Effect& effect);
  void send(Machine& machine, const Endpoint& to, proto::Envelope message);
  [[nodiscard]] Machine* find(const Endpoint& to) const;
  void arm(Machine& machine);
  void tick(Machine& machine);
  void trace(std::uint64_t value);
  std::uint64_t expect(Machine& machine, OnAnswer on_answer);

  Parameters parameters_;
  Mutation mutation_;
  Observer& observer_;
  netsim::EventQueue queue_;
  Random random_;
  netsim::SimNetwork network_;
  std::unique_ptr<ca::Signer> signer_;
  std::vector<std::unique_ptr<Machine>> nodes_;
  std::uint64_t next_request_ = 1;
  std::uint64_t trace_ = 0xcbf29ce484222325;
  std::uint64_t steps_ = 0;
};

// A line per node: what it thinks it is. For a person who looks into a violation.
[[nodiscard]] std::string describe(const World& world);

}  // namespace lab::swarm::sim
