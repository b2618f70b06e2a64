// Clients of the swarm's API: label writes, promotions, demotions, removals, joins. Each client
// waits for its answer, or gives up, before it asks again, and tells the checker what it was told.
#pragma once

#include <vector>

#include "swarm/sim/checker.hpp"
#include "swarm/sim/world.hpp"

namespace lab::swarm::sim {

class Workload {
 public:
  static constexpr int clients = 3;
  static constexpr std::size_t machines_max = 18;

  Workload(World& world, Checker& checker, const Parameters& parameters);
  void begin();
  // No new requests; the machines that were removed try to come back in for ever.
  void end() { active_ = false; }

  struct Counters {
    std::uint64_t acknowledged = 0, unknown = 0, refused = 0;
    std::uint64_t promotions = 0, demotions = 0, removals = 0, joins = 0;
  };
  [[nodiscard]] const Counters& counters() const { return counters_; }

 private:
  struct Client {
    int number = 0;
    std::uint64_t value = 0;    // of its next label write
    std::uint64_t request = 0;  // the open one; answers to others come too late
  };

  void schedule(Client& client);
  void act(Client& client);
  void write_label(Client& client, std::size_t manager, const proto::Node& node);
  void change_role(Client& client, std::size_t manager, const proto::Node& node);
  void remove(Client& client, std::size_t manager, const proto::Node& node);
  void join_one();
  // Ends `client`'s request after the answer or when it has waited too long.
  void ask(Client& client, std::size_t manager, proto::ControlRequest body,
           std::function<void()> on_success);

  World& world_;
  Checker& checker_;
  Parameters parameters_;
  Random random_;
  bool active_ = false;
  std::vector<Client> clients_;
  Counters counters_;
};

}  // namespace lab::swarm::sim
