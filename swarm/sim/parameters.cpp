#include "swarm/sim/parameters.hpp"

#include <fmt/core.h>

#include "base/random.hpp"

namespace lab::swarm::sim {

namespace {

Duration between(Random& random, std::chrono::milliseconds low, std::chrono::milliseconds high) {
  return std::chrono::milliseconds(random.between(low.count(), high.count()));
}

}  // namespace

Parameters draw_parameters(std::uint64_t seed) {
  using std::chrono::milliseconds;
  Random random = Random(seed).stream("parameters");
  Parameters drawn;
  drawn.seed = seed;
  drawn.link.delay = between(random, milliseconds(0), milliseconds(40));
  drawn.link.jitter = Duration(random.between(0, drawn.link.delay.count()));
  drawn.link.loss = random.chance(0.3) ? 0 : 0.2 * random.uniform();
  drawn.link.duplicate = random.chance(0.5) ? 0 : 0.1 * random.uniform();
  if (drawn.link.delay.count() > 0 && random.chance(0.3))
    drawn.link.reorder = 0.2 * random.uniform();
  drawn.election_timeout = milliseconds(random.between(1000, 2000));
  drawn.snapshot_threshold = static_cast<unsigned>(random.between(10, 150));
  drawn.snapshot_trailing = static_cast<unsigned>(random.between(1, 30));
  drawn.disk_latency_max = between(random, milliseconds(1), milliseconds(30));
  drawn.faults_for = between(random, milliseconds(20'000), milliseconds(50'000));
  if (random.chance(0.8)) {
    drawn.partition_every = between(random, milliseconds(2000), milliseconds(15'000));
    drawn.partition_for = between(random, milliseconds(500), milliseconds(10'000));
  }
  if (random.chance(0.9)) {
    drawn.crash_every = between(random, milliseconds(700), milliseconds(10'000));
    drawn.down_for = between(random, milliseconds(100), milliseconds(8000));
  }
  drawn.down_max = static_cast<int>(random.between(1, 8));
  drawn.client_pause = between(random, milliseconds(10), milliseconds(400));
  return drawn;
}

std::string describe(const Parameters& drawn) {
  const auto seconds = [](Duration time) { return static_cast<double>(time.count()) * 1e-9; };
  return fmt::format(
      "seed {}: {} managers, {} workers; link {}; election {} ms; snapshot every {} keeping {}; "
      "disk <= {:.0f} ms; faults for {:.1f} s: partition every {:.1f} s for {:.1f} s, crash every "
      "{:.1f} s for {:.1f} s, at most {} down; clients pause {:.0f} ms",
      drawn.seed, drawn.managers, drawn.workers, netsim::to_string(drawn.link),
      drawn.election_timeout.count(), drawn.snapshot_threshold, drawn.snapshot_trailing,
      seconds(drawn.disk_latency_max) * 1e3, seconds(drawn.faults_for),
      seconds(drawn.partition_every), seconds(drawn.partition_for), seconds(drawn.crash_every),
      seconds(drawn.down_for), drawn.down_max, seconds(drawn.client_pause) * 1e3);
}

}  // namespace lab::swarm::sim
