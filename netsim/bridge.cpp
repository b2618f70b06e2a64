#include "netsim/bridge.hpp"

#include <fmt/format.h>

#include <utility>

namespace lab::netsim {

void Bridge::grow(std::size_t ports) {
  std::vector<Direction> directions;
  directions.reserve(ports * ports);
  for (std::size_t from = 0; from < ports; ++from) {
    for (std::size_t to = 0; to < ports; ++to) {
      if (from < ports_.size() && to < ports_.size()) {
        directions.push_back(std::move(directions_[from * ports_.size() + to]));
      } else {
        directions.emplace_back(random_.stream(fmt::format("link/{}->{}", from, to)));
      }
    }
  }
  directions_ = std::move(directions);
  ports_.resize(ports);
}

void Bridge::set_used(PortIndex port, bool used) {
  ports_[port] = {};
  ports_[port].used = used;
  macs_.forget_port(port);
  for (std::size_t other = 0; other < ports_.size(); ++other) {
    const auto peer = static_cast<PortIndex>(other);
    for (Direction* path : {&direction(port, peer), &direction(peer, port)}) {
      path->link = Link{};
      path->reachable = true;
      path->counters = {};
    }
  }
}

void Bridge::set_quality(PortIndex from, PortIndex to, const LinkQuality& quality) {
  Link& link = direction(from, to).link;
  if (link.quality() != quality) link.set(quality);
}

void Bridge::set_reachable(PortIndex from, PortIndex to, bool reachable) {
  direction(from, to).reachable = reachable;
}

void Bridge::put_on(TimePoint now, PortIndex from, PortIndex to, std::size_t bytes,
                    std::vector<Output>& outputs) {
  Direction& path = direction(from, to);
  if (!path.reachable) [[unlikely]] {
    return dropped(from, to, Drop::partition);
  }
  if (path.link.perfect()) {
    outputs.push_back({to, false, false, false, 0, now});
    return;
  }
  const Fate fate = path.link.transmit(now, bytes, path.random);
  if (fate.copies == 0) return dropped(from, to, fate.drop);
  if (fate.corrupted) ++path.counters.corrupted;
  if (fate.copies > 1) ++path.counters.duplicated;
  for (std::uint8_t copy = 0; copy < fate.copies; ++copy) {
    const TimePoint arrival = fate.arrival[copy];
    outputs.push_back({to, arrival > now, fate.corrupted, copy > 0, fate.corrupt_bit, arrival});
  }
}

void Bridge::forward(TimePoint now, PortIndex from, std::span<const unsigned char> frame,
                     std::vector<Output>& outputs) {
  Port& port = ports_[from];
  if (frame.size() < frame_bytes_min || frame.size() > frame_bytes_max) {
    return malformed(from);
  }
  const Mac target = load_mac(frame.data());
  const Mac source = load_mac(frame.data() + 6);
  if (is_group(source) || source == 0) return malformed(from);
  ++port.counters.frames;
  port.counters.bytes += frame.size();
  macs_.learn(source, from, now);
  if (!is_group(target)) {
    if (const auto to = macs_.find(target, now)) {
      if (*to != from) put_on(now, from, *to, frame.size(), outputs);
      return;
    }
  }
  for (std::size_t to = 0; to < ports_.size(); ++to) {
    if (to != from && ports_[to].used) {
      put_on(now, from, static_cast<PortIndex>(to), frame.size(), outputs);
    }
  }
}

bool Bridge::arrived(PortIndex from, PortIndex to) {
  Direction& path = direction(from, to);
  path.link.departed();
  if (path.reachable && ports_[to].used) return true;
  dropped(from, to, path.reachable ? Drop::down : Drop::partition);
  return false;
}

}  // namespace lab::netsim
