// What one seed stands for: every rate and length of a simulated run is itself drawn from it.
#pragma once

#include <cstdint>
#include <string>

#include "base/clock.hpp"
#include "netsim/quality.hpp"

namespace lab::swarm::sim {

struct Parameters {
  std::uint64_t seed = 0;
  int managers = 5;
  int workers = 10;
  netsim::LinkQuality link;  // while there are faults; afterwards only its delay
  std::chrono::milliseconds election_timeout{2000};
  unsigned snapshot_threshold = 100;
  unsigned snapshot_trailing = 20;
  Duration disk_latency_max{};
  Duration faults_for{};       // how long the bad time lasts
  Duration partition_every{};  // mean; 0: never
  Duration partition_for{};    // mean
  Duration crash_every{};      // mean; 0: never
  Duration down_for{};         // mean
  int down_max = 0;            // nodes down at once
  Duration client_pause{};     // between a client's requests
  Duration certificate_life = std::chrono::hours(24 * 90);
};

// Deliberate bugs, to see the checks fail.
enum class Mutation : std::uint8_t {
  none,
  disk_lies,  // writes are acknowledged before they are durable
};

[[nodiscard]] Parameters draw_parameters(std::uint64_t seed);
// One line.
[[nodiscard]] std::string describe(const Parameters& parameters);

}  // namespace lab::swarm::sim
