#include "swarm/sim/faults.hpp"

namespace lab::swarm::sim {

namespace {
using Endpoint = netsim::SimNetwork::Endpoint;
}

Faults::Faults(World& world, const Parameters& parameters)
    : world_(world), parameters_(parameters), random_(Random(parameters.seed).stream("faults")) {}

Duration Faults::around(Duration mean) {
  const double factor = 0.1 + 1.8 * random_.uniform();
  return Duration(static_cast<std::int64_t>(static_cast<double>(mean.count()) * factor));
}

void Faults::begin() {
  active_ = true;
  world_.network().set_default_quality(parameters_.link);
  if (parameters_.crash_every.count() > 0) schedule_crash();
  if (parameters_.partition_every.count() > 0) schedule_partition();
}

void Faults::end() {
  active_ = false;
  netsim::LinkQuality calm;
  calm.delay = parameters_.link.delay;
  world_.network().set_default_quality(calm);
  world_.network().heal();
  for (const std::size_t index : std::exchange(down_, {})) {
    world_.crash(index);  // those that were still to crash
    world_.restart(index);
  }
}

std::size_t Faults::pick() {
  const double aim = random_.uniform();
  std::vector<std::size_t> candidates;
  for (std::size_t i = 0; i < world_.size(); ++i) {
    if (!world_.up(i)) continue;
    if (aim < 0.25 && !world_.node(i)->leading()) continue;
    if (aim < 0.7 && world_.node(i)->raft() == nullptr) continue;
    candidates.push_back(i);
  }
  return candidates.empty() ? random_.below(world_.size())
                            : candidates[random_.below(candidates.size())];
}

void Faults::schedule_crash() {
  world_.queue().schedule_after(around(parameters_.crash_every), [this] {
    if (!active_) return;
    crash_one();
    schedule_crash();
  });
}

void Faults::crash_one() {
  if (static_cast<int>(down_.size()) >= parameters_.down_max) return;
  const std::size_t index = pick();
  if (!world_.up(index)) return;
  ++crashes_;
  down_.insert(index);
  switch (random_.below(3)) {
    case 0: world_.crash(index); break;
    case 1: world_.crash_within_next_step(index); break;
    default: world_.crash_during_write(index);
  }
  world_.queue().schedule_after(around(parameters_.down_for), [this, index] { restart(index); });
}

void Faults::restart(std::size_t index) {
  if (!active_ || down_.erase(index) == 0) return;
  // One that was to crash in its next step or write, and had none.
  world_.crash(index);
  world_.restart(index);
}

void Faults::schedule_partition() {
  world_.queue().schedule_after(around(parameters_.partition_every), [this] {
    if (!active_) return;
    partition();
    schedule_partition();
  });
}

void Faults::partition() {
  ++partitions_;
  const auto count = static_cast<Endpoint>(world_.size());
  world_.network().heal();
  switch (random_.below(4)) {
    case 0: {  // random halves
      std::vector<std::vector<Endpoint>> groups(2);
      for (Endpoint i = 0; i < count; ++i) groups[random_.below(2)].push_back(i);
      world_.network().partition(groups);
      break;
    }
    case 1: {  // one alone
      const auto alone = static_cast<Endpoint>(pick());
      std::vector<std::vector<Endpoint>> groups(1);
      for (Endpoint i = 0; i < count; ++i)
        if (i != alone) groups[0].push_back(i);
      world_.network().partition(groups);
      break;
    }
    case 2: {  // one is heard by nobody, or hears nobody
      const auto one = static_cast<Endpoint>(pick());
      const bool mute = random_.chance(0.5);
      for (Endpoint i = 0; i < count; ++i) {
        if (i == one) continue;
        if (mute)
          world_.network().cut(one, i);
        else
          world_.network().cut(i, one);
      }
      break;
    }
    default:  // single directions here and there
      for (Endpoint from = 0; from < count; ++from)
        for (Endpoint to = 0; to < count; ++to)
          if (from != to && random_.chance(0.2)) world_.network().cut(from, to);
  }
  world_.queue().schedule_after(around(parameters_.partition_for), [this] {
    if (active_) world_.network().heal();
  });
}

}  // namespace lab::swarm::sim
