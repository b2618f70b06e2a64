// Crashes, restarts and partitions at times drawn from the seed.
#pragma once

#include <set>

#include "swarm/sim/world.hpp"

namespace lab::swarm::sim {

class Faults {
 public:
  Faults(World& world, const Parameters& parameters);
  void begin();
  // Heals the network, restarts what is down; nothing happens afterwards.
  void end();

  [[nodiscard]] std::uint64_t crashes() const { return crashes_; }
  [[nodiscard]] std::uint64_t partitions() const { return partitions_; }

 private:
  // Exponential-like around the mean, at least a tenth of it.
  [[nodiscard]] Duration around(Duration mean);
  void schedule_crash();
  void schedule_partition();
  void crash_one();
  void restart(std::size_t index);
  void partition();
  // Leaders and managers are hit more often than chance would have it.
  [[nodiscard]] std::size_t pick();

  World& world_;
  Parameters parameters_;
  Random random_;
  bool active_ = false;
  std::set<std::size_t> down_;
  std::uint64_t crashes_ = 0, partitions_ = 0;
};

}  // namespace lab::swarm::sim
