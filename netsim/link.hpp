// One direction between two machines: decides what becomes of each frame that is put on it. The
// switch in labd and the simulator use this same model, which follows tc-netem: duplication, then
// loss, corruption, overtaking, delay with jitter, and the rate as spacing between arrivals.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/clock.hpp"
#include "base/random.hpp"
#include "netsim/quality.hpp"

namespace lab::netsim {

enum class Drop : std::uint8_t {
  none,
  loss,       // the link's loss
  limit,      // too many frames under way
  partition,  // the two machines are cut off from each other
  malformed,  // no whole Ethernet header, or too long
  down,       // the receiver is not there, or does not take frames
};
inline constexpr std::size_t drop_kinds = 6;
[[nodiscard]] std::string_view to_string(Drop drop);

// What becomes of one frame. `copies` of it arrive (0: dropped for `drop`; 2: duplicated), the
// first at arrival[0]. A copy whose arrival is `now` or before needs no queue.
struct Fate {
  std::uint8_t copies = 1;
  Drop drop = Drop::none;
  bool corrupted = false;         // flip bit corrupt_bit of all copies
  std::uint64_t corrupt_bit = 0;  // counted from the frame's first byte, its lowest bit first
  std::array<TimePoint, 2> arrival{};
};

class Link {
 public:
  explicit Link(const LinkQuality& quality = {}) { set(quality); }

  // Frames that are under way keep their arrival.
  void set(const LinkQuality& quality);
  [[nodiscard]] const LinkQuality& quality() const { return quality_; }
  // Frames pass at once and unchanged; transmit() need not be called.
  [[nodiscard]] bool perfect() const { return perfect_; }

  // Call departed() once for each copy whose arrival lies after `now`, when it arrives.
  [[nodiscard]] Fate transmit(TimePoint now, std::size_t size_bytes, Random& random);
  void departed() {
    if (under_way_ > 0) --under_way_;
  }
  [[nodiscard]] std::uint32_t under_way() const { return under_way_; }

 private:
  TimePoint arrival_of(TimePoint now, std::size_t size_bytes, Random& random);

  LinkQuality quality_;
  bool perfect_ = true;
  std::uint32_t under_way_ = 0;
  TimePoint last_arrival_{};  // of frames that were spaced by the rate
};

}  // namespace lab::netsim
