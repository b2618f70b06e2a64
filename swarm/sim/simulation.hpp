// One seed's run: a swarm of five managers and ten workers is formed; clients write while machines
// crash, come back and are cut off from each other; then all faults end, and the swarm must agree,
// be whole and hold everything that was acknowledged, within a bounded time.
#pragma once

#include <cstdint>
#include <string>

#include "swarm/sim/parameters.hpp"

namespace lab::swarm::sim {

struct Report {
  Parameters parameters;
  std::string violation;   // empty: all is well
  std::string last_state;  // of all nodes, when there was a violation
  std::uint64_t trace_hash = 0;
  std::uint64_t steps = 0;
  Duration virtual_time{};
  Duration convergence{};  // from the end of the faults
  // How much of what was to be tested happened.
  std::uint64_t acknowledged = 0, unknown = 0, refused = 0;  // clients' writes
  std::uint64_t terms_led = 0;
  std::uint64_t crashes = 0, partitions = 0, torn_writes = 0, lost_writes = 0, snapshots = 0;
  std::uint64_t promotions = 0, demotions = 0, removals = 0, joins = 0;
  std::uint64_t refusals = 0;  // of removed nodes' messages
};

[[nodiscard]] Report simulate(const Parameters& parameters, Mutation mutation = Mutation::none);
[[nodiscard]] std::string describe(const Report& report);

}  // namespace lab::swarm::sim
