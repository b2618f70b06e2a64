#include "netsim/link.hpp"

#include <algorithm>

namespace lab::netsim {

std::string_view to_string(Drop drop) {
  switch (drop) {
    case Drop::none: return "none";
    case Drop::loss: return "loss";
    case Drop::limit: return "limit";
    case Drop::partition: return "partition";
    case Drop::malformed: return "malformed";
    case Drop::down: return "down";
  }
  return "unknown";
}

void Link::set(const LinkQuality& quality) {
  // A slow rate's backlog must not hold up frames that are sent after the rate was raised.
  if (quality.rate_bits != quality_.rate_bits) last_arrival_ = TimePoint{};
  quality_ = quality;
  perfect_ = quality.perfect();
}

TimePoint Link::arrival_of(TimePoint now, std::size_t size_bytes, Random& random) {
  if (quality_.reorder > 0 && random.chance(quality_.reorder)) return now;
  Duration delay = quality_.delay;
  if (const auto jitter = quality_.jitter.count(); jitter > 0) {
    delay = std::max(Duration{0}, delay + Duration{random.between(-jitter, jitter)});
  }
  TimePoint arrival = now + delay;
  if (quality_.rate_bits > 0) {
    const double bits = static_cast<double>(size_bytes) * 8;
    const double nanoseconds = bits * 1e9 / static_cast<double>(quality_.rate_bits);
    constexpr double day = 86'400e9;
    arrival = std::max(arrival, last_arrival_) +
              Duration{static_cast<std::int64_t>(std::min(nanoseconds, day))};
    last_arrival_ = arrival;
  }
  return arrival;
}

Fate Link::transmit(TimePoint now, std::size_t size_bytes, Random& random) {
  Fate fate;
  if (perfect_) {
    fate.arrival[0] = now;
    return fate;
  }
  if (quality_.duplicate > 0 && random.chance(quality_.duplicate)) ++fate.copies;
  if (quality_.loss > 0 && random.chance(quality_.loss)) {
    fate.drop = Drop::loss;
    if (--fate.copies == 0) return fate;
    fate.drop = Drop::none;  // its duplicate gets through
  }
  if (quality_.corrupt > 0 && random.chance(quality_.corrupt) && size_bytes > 0) {
    fate.corrupted = true;
    fate.corrupt_bit = random.below(std::uint64_t{size_bytes} * 8);
  }
  std::uint8_t accepted = 0;
  for (std::uint8_t copy = 0; copy < fate.copies; ++copy) {
    if (under_way_ >= quality_.limit_frames) break;
    const TimePoint arrival = arrival_of(now, size_bytes, random);
    if (arrival > now) ++under_way_;
    fate.arrival[accepted++] = arrival;
  }
  if (accepted == 0) fate.drop = Drop::limit;
  fate.copies = accepted;
  return fate;
}

}  // namespace lab::netsim
