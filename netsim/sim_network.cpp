#include "netsim/sim_network.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace lab::netsim {

namespace {

constexpr Duration retransmission_first = std::chrono::milliseconds{200};
constexpr Duration retransmission_max = std::chrono::seconds{10};
constexpr int retransmissions_max = 8;

enum TraceEvent : std::uint64_t { trace_send = 100, trace_deliver = 101 };

}  // namespace

struct SimNetwork::Message {
  Endpoint from;
  Endpoint to;
  std::uint32_t from_incarnation;
  std::uint32_t to_incarnation;
  Delivery delivery;
  Receive receive;
};

SimNetwork::Endpoint SimNetwork::add_endpoint(std::string name) {
  names_.push_back(std::move(name));
  endpoints_.emplace_back();
  return static_cast<Endpoint>(names_.size() - 1);
}

SimNetwork::Direction& SimNetwork::direction(Endpoint from, Endpoint to) {
  const auto found = directions_.find(key(from, to));
  if (found != directions_.end()) return found->second;
  const Random stream = random_.stream(fmt::format("link/{}->{}", from, to));
  return directions_.try_emplace(key(from, to), quality(from, to), stream).first->second;
}

void SimNetwork::set_default_quality(const LinkQuality& quality) {
  default_quality_ = quality;
  for (auto& [pair, direction] : directions_) {
    if (!qualities_.contains(pair)) direction.link.set(quality);
  }
}

void SimNetwork::set_quality(Endpoint from, Endpoint to, const LinkQuality& quality) {
  qualities_[key(from, to)] = quality;
  direction(from, to).link.set(quality);
}

void SimNetwork::reset_qualities() {
  qualities_.clear();
  set_default_quality(default_quality_);
}

const LinkQuality& SimNetwork::quality(Endpoint from, Endpoint to) const {
  const auto found = qualities_.find(key(from, to));
  return found == qualities_.end() ? default_quality_ : found->second;
}

void SimNetwork::partition(const std::vector<std::vector<Endpoint>>& groups) {
  for (EndpointState& endpoint : endpoints_) endpoint.group = 0;
  for (std::size_t group = 0; group < groups.size(); ++group) {
    for (const Endpoint endpoint : groups[group]) {
      endpoints_[endpoint].group = static_cast<std::uint32_t>(group) + 1;
    }
  }
}

void SimNetwork::cut(Endpoint from, Endpoint to) { cuts_.insert(key(from, to)); }
void SimNetwork::join(Endpoint from, Endpoint to) { cuts_.erase(key(from, to)); }

void SimNetwork::heal() {
  cuts_.clear();
  for (EndpointState& endpoint : endpoints_) endpoint.group = 0;
}

bool SimNetwork::reachable(Endpoint from, Endpoint to) const {
  return from == to || (endpoints_[from].group == endpoints_[to].group &&
                        (cuts_.empty() || !cuts_.contains(key(from, to))));
}

void SimNetwork::crash(Endpoint endpoint) {
  endpoints_[endpoint].up = false;
  ++endpoints_[endpoint].incarnation;
}

void SimNetwork::restart(Endpoint endpoint) { endpoints_[endpoint].up = true; }

void SimNetwork::trace(std::uint64_t what, Endpoint from, Endpoint to) {
  const auto time = static_cast<std::uint64_t>(queue_.now().time_since_epoch().count());
  for (const std::uint64_t word : {what, key(from, to), time}) {
    trace_hash_ = (trace_hash_ ^ word) * 0x100000001b3;
    trace_hash_ ^= trace_hash_ >> 32;
  }
}

void SimNetwork::dropped(Drop drop, Endpoint from, Endpoint to) {
  ++counters_.dropped[static_cast<std::size_t>(drop)];
  trace(static_cast<std::uint64_t>(drop), from, to);
}

void SimNetwork::arrive(Message& message) {
  const EndpointState& from = endpoints_[message.from];
  const EndpointState& to = endpoints_[message.to];
  if (!to.up || to.incarnation != message.to_incarnation ||
      from.incarnation != message.from_incarnation) {
    return dropped(Drop::down, message.from, message.to);
  }
  if (!reachable(message.from, message.to)) {
    return dropped(Drop::partition, message.from, message.to);
  }
  ++counters_.delivered;
  trace(trace_deliver, message.from, message.to);
  message.receive(message.delivery);
}

void SimNetwork::deliver_at(TimePoint arrival, Message message, Link* under_way) {
  queue_.schedule_at(arrival, [this, message = std::move(message), under_way]() mutable {
    if (under_way != nullptr) under_way->departed();
    arrive(message);
  });
}

std::optional<SimNetwork::Message> SimNetwork::accept(Endpoint from, Endpoint to, Receive receive) {
  ++counters_.sent;
  trace(trace_send, from, to);
  if (!endpoints_[from].up || !endpoints_[to].up) {
    dropped(Drop::down, from, to);
    return std::nullopt;
  }
  if (!reachable(from, to)) {
    dropped(Drop::partition, from, to);
    return std::nullopt;
  }
  const TimePoint now = queue_.now();
  Message message{from,
                  to,
                  endpoints_[from].incarnation,
                  endpoints_[to].incarnation,
                  {now, std::nullopt},
                  std::move(receive)};
  if (from != to) return message;
  deliver_at(now, std::move(message), nullptr);
  return std::nullopt;
}

void SimNetwork::send(Endpoint from, Endpoint to, std::size_t size_bytes, Receive receive) {
  std::optional<Message> accepted = accept(from, to, std::move(receive));
  if (!accepted) return;
  Message message = std::move(*accepted);
  const TimePoint now = queue_.now();
  Direction& path = direction(from, to);
  const Fate fate = path.link.transmit(now, size_bytes, path.random);
  if (fate.copies == 0) return dropped(fate.drop, from, to);
  if (fate.copies > 1) ++counters_.duplicated;
  if (fate.corrupted) {
    ++counters_.corrupted;
    message.delivery.corrupt_bit = fate.corrupt_bit;
  }
  for (std::uint8_t copy = 0; copy < fate.copies; ++copy) {
    Link* under_way = fate.arrival[copy] > now ? &path.link : nullptr;
    const bool last = copy + 1 == fate.copies;
    deliver_at(fate.arrival[copy], last ? std::move(message) : message, under_way);
  }
}

void SimNetwork::send_in_order(Endpoint from, Endpoint to, std::size_t size_bytes,
                               Receive receive) {
  std::optional<Message> accepted = accept(from, to, std::move(receive));
  if (!accepted) return;
  Message message = std::move(*accepted);
  const TimePoint now = queue_.now();
  Direction& path = direction(from, to);
  // A corrupted segment fails its checksum and a full queue tail-drops: both are retransmitted.
  TimePoint sent = now;
  Duration timeout = retransmission_first;
  for (int attempt = 0; attempt <= retransmissions_max; ++attempt) {
    const Fate fate = path.link.transmit(sent, size_bytes, path.random);
    for (std::uint8_t copy = 0; copy < fate.copies; ++copy) {
      if (fate.arrival[copy] > sent) path.link.departed();
    }
    if (fate.copies > 0 && !fate.corrupted) {
      path.last_in_order = std::max(path.last_in_order, fate.arrival[0]);
      return deliver_at(path.last_in_order, std::move(message), nullptr);
    }
    sent += timeout;
    timeout = std::min(timeout * 2, retransmission_max);
  }
  dropped(Drop::loss, from, to);
}

}  // namespace lab::netsim
