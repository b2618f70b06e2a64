// The heart of the lab's switch, free of I/O: learns where addresses are, decides for each frame
// which ports it goes to, and asks the link of each direction what becomes of it. Counts
// everything. A port is an index below the number of ports; nothing here allocates per frame.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "base/random.hpp"
#include "netsim/link.hpp"
#include "netsim/mac_table.hpp"

namespace lab::netsim {

using PortIndex = std::uint16_t;

// The longest frame that is carried: 9000 bytes of payload, Ethernet header, two VLAN tags.
inline constexpr std::size_t frame_bytes_max = 9000 + 14 + 8;
inline constexpr std::size_t frame_bytes_min = 14;

struct LinkCounters {
  std::uint64_t frames = 0;  // handed to the receiver
  std::uint64_t bytes = 0;
  std::uint64_t duplicated = 0;
  std::uint64_t corrupted = 0;
  std::array<std::uint64_t, drop_kinds> dropped{};  // by Drop
};

struct PortCounters {
  std::uint64_t frames = 0;  // taken from the machine
  std::uint64_t bytes = 0;
  std::uint64_t malformed = 0;
};

// Why a copy of a frame did not arrive, for those who watch.
struct Loss {
  PortIndex from = 0;
  PortIndex to = 0;
  Drop drop = Drop::none;
};

class Bridge {
 public:
  // One copy of a frame that goes out. With an arrival after `now` the copy waits until then, and
  // arrived() is called before it is sent.
  struct Output {
    PortIndex to = 0;
    bool delayed = false;
    bool corrupted = false;
    bool duplicate = false;  // the second copy
    std::uint64_t corrupt_bit = 0;
    TimePoint arrival{};
  };

  explicit Bridge(const Random& random) : random_(random) {}

  // Ports are added, out of use at first; their number never shrinks.
  void grow(std::size_t ports);
  [[nodiscard]] std::size_t size() const { return ports_.size(); }
  // A port that is out of use gets no frames. Its links and counters begin anew with its use.
  void set_used(PortIndex port, bool used);

  void set_quality(PortIndex from, PortIndex to, const LinkQuality& quality);
  void set_reachable(PortIndex from, PortIndex to, bool reachable);

  // Appends the copies of this frame to `outputs`.
  void forward(TimePoint now, PortIndex from, std::span<const unsigned char> frame,
               std::vector<Output>& outputs);
  // A delayed copy is due: whether it may be handed over, or was cut off in the
  // meantime.
  [[nodiscard]] bool arrived(PortIndex from, PortIndex to);
  // What came of handing a copy to the receiver.
  void sent(PortIndex from, PortIndex to, std::size_t bytes) {
    LinkCounters& counters = direction(from, to).counters;
    ++counters.frames;
    counters.bytes += bytes;
  }
  void dropped(PortIndex from, PortIndex to, Drop drop) {
    ++direction(from, to).counters.dropped[static_cast<std::size_t>(drop)];
    if (losses_ != nullptr) losses_->push_back({from, to, drop});
  }
  // A copy that sent() counted turns out not to have been taken.
  void refused(PortIndex from, PortIndex to, std::size_t bytes) {
    LinkCounters& counters = direction(from, to).counters;
    if (counters.frames > 0) {  // they may have begun anew since
      --counters.frames;
      counters.bytes -= bytes;
    }
    ++counters.dropped[static_cast<std::size_t>(Drop::down)];
  }
  // Every copy that is dropped from now on is appended to `losses`; null ends it.
  void watch_losses(std::vector<Loss>* losses) { losses_ = losses; }
  void malformed(PortIndex from) { ++ports_[from].counters.malformed; }

  [[nodiscard]] const LinkCounters& counters(PortIndex from, PortIndex to) const {
    return directions_[index(from, to)].counters;
  }
  [[nodiscard]] const PortCounters& counters(PortIndex port) const { return ports_[port].counters; }
  [[nodiscard]] std::uint32_t under_way(PortIndex from, PortIndex to) const {
    return directions_[index(from, to)].link.under_way();
  }

 private:
  struct Direction {
    explicit Direction(const Random& generator) : random(generator) {}
    Link link;
    bool reachable = true;
    LinkCounters counters;
    Random random;
  };
  struct Port {
    bool used = false;
    PortCounters counters;
  };

  [[nodiscard]] std::size_t index(PortIndex from, PortIndex to) const {
    return std::size_t{from} * ports_.size() + to;
  }
  Direction& direction(PortIndex from, PortIndex to) { return directions_[index(from, to)]; }
  void put_on(TimePoint now, PortIndex from, PortIndex to, std::size_t bytes,
              std::vector<Output>& outputs);

  Random random_;
  std::vector<Loss>* losses_ = nullptr;
  MacTable macs_;
  std::vector<Port> ports_;
  std::vector<Direction> directions_;  // from * ports + to
};

}  // namespace lab::netsim
