// A network in virtual time: named endpoints joined by Links, with partitions (symmetric or one
// way) and endpoints that crash. What is sent is a closure, called when the message arrives, so any
// type travels without being serialised. The same seed gives the same deliveries in the same order.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "base/random.hpp"
#include "netsim/event_queue.hpp"
#include "netsim/link.hpp"

namespace lab::netsim {

// What the receiver learns about one arrival.
struct Delivery {
  TimePoint sent_at;
  std::optional<std::uint64_t> corrupt_bit;  // flip this bit of the message (see Fate)
};

class SimNetwork {
 public:
  using Endpoint = std::uint32_t;  // 0, 1, 2... in the order of add_endpoint()
  using Receive = std::function<void(const Delivery&)>;

  // `queue` outlives the network. Each link draws from a stream of its own, so that traffic on one
  // link does not change another's faults.
  SimNetwork(EventQueue& queue, const Random& random) : queue_(queue), random_(random) {}
  SimNetwork(const SimNetwork&) = delete;
  SimNetwork& operator=(const SimNetwork&) = delete;

  Endpoint add_endpoint(std::string name);
  [[nodiscard]] const std::string& name(Endpoint endpoint) const { return names_[endpoint]; }
  [[nodiscard]] std::size_t size() const { return names_.size(); }

  // Links that have no quality of their own. Affects what is sent from now on.
  void set_default_quality(const LinkQuality& quality);
  void set_quality(Endpoint from, Endpoint to, const LinkQuality& quality);  // one direction
  void reset_qualities();  // every link is as the default again
  [[nodiscard]] const LinkQuality& quality(Endpoint from, Endpoint to) const;

  // Endpoints reach only those of their own group; those that no group holds are one group more.
  // Replaces an earlier partition, keeps what cut() did. Messages under way across a cut are lost.
  void partition(const std::vector<std::vector<Endpoint>>& groups);
  void cut(Endpoint from, Endpoint to);   // one direction
  void join(Endpoint from, Endpoint to);  // undoes cut()
  void heal();                            // undoes partition() and all cut()
  [[nodiscard]] bool reachable(Endpoint from, Endpoint to) const;

  // A crashed endpoint neither sends nor receives; what was under way to or from it is lost, also
  // if it is up again before the arrival.
  void crash(Endpoint endpoint);
  void restart(Endpoint endpoint);
  [[nodiscard]] bool up(Endpoint endpoint) const { return endpoints_[endpoint].up; }

  // A datagram: may be lost, doubled, overtaken or corrupted. An endpoint reaches itself at once
  // (as the next event) and unharmed.
  void send(Endpoint from, Endpoint to, std::size_t size_bytes, Receive receive);
  // One message of a connection-like stream: arrives whole and after those sent before it from the
  // same sender by this function; a loss costs a retransmission time-out (200 ms, doubling) instead
  // of the message. Across a cut it is lost all the same: the stream is then broken, which the
  // sender has to notice by its own time-outs.
  void send_in_order(Endpoint from, Endpoint to, std::size_t size_bytes, Receive receive);

  struct Counters {
    std::uint64_t sent = 0;
    std::uint64_t delivered = 0;  // a duplicate counts again
    std::uint64_t corrupted = 0;
    std::uint64_t duplicated = 0;
    std::array<std::uint64_t, drop_kinds> dropped{};  // by Drop
  };
  [[nodiscard]] const Counters& counters() const { return counters_; }
  // Over every send, delivery and drop so far, with its time: equal for equal runs.
  [[nodiscard]] std::uint64_t trace_hash() const { return trace_hash_; }

 private:
  struct EndpointState {
    bool up = true;
    std::uint32_t incarnation = 0;
    std::uint32_t group = 0;
  };
  struct Direction {
    Direction(const LinkQuality& quality, const Random& generator)
        : link(quality), random(generator) {}
    Link link;
    Random random;
    TimePoint last_in_order{};
  };
  struct Message;

  static std::uint64_t key(Endpoint from, Endpoint to) { return std::uint64_t{from} << 32 | to; }
  Direction& direction(Endpoint from, Endpoint to);
  // A message under way, or nothing when it was dropped at once or delivered to its own sender.
  [[nodiscard]] std::optional<Message> accept(Endpoint from, Endpoint to, Receive receive);
  // `under_way` is the link that counts the message until it arrives; null if none does.
  void deliver_at(TimePoint arrival, Message message, Link* under_way);
  void arrive(Message& message);
  void dropped(Drop drop, Endpoint from, Endpoint to);
  void trace(std::uint64_t what, Endpoint from, Endpoint to);

  EventQueue& queue_;
  Random random_;
  std::vector<std::string> names_;
  std::vector<EndpointState> endpoints_;
  LinkQuality default_quality_;
  // Only looked up, never iterated in an order that can be seen.
  std::unordered_map<std::uint64_t, LinkQuality> qualities_;
  std::unordered_map<std::uint64_t, Direction> directions_;
  std::unordered_set<std::uint64_t> cuts_;
  Counters counters_;
  std::uint64_t trace_hash_ = 0xcbf29ce484222325;
};

}  // namespace lab::netsim
