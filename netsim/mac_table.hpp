// Which port a MAC address was last seen on. Bounded: a guest that invents addresses only pushes
// out entries of the same hash neighbourhood, the longest unseen first. Never allocates after
// construction.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <vector>

#include "base/clock.hpp"

namespace lab::netsim {

// A MAC address in the low 48 bits, first byte highest.
using Mac = std::uint64_t;

[[nodiscard]] inline Mac load_mac(const unsigned char* bytes) {
  std::uint64_t word = 0;
  std::memcpy(&word, bytes, 6);
  return __builtin_bswap64(word) >> 16;
}
[[nodiscard]] inline bool is_group(Mac mac) { return (mac >> 40 & 1) != 0; }

class MacTable {
 public:
  static constexpr Duration age_max = std::chrono::seconds{300};  // as a Linux bridge

  MacTable() : entries_(capacity) {}

  void learn(Mac mac, std::uint16_t port, TimePoint now) {
    Entry* oldest = nullptr;
    const std::size_t start = hash(mac);
    for (std::size_t probe = 0; probe < probes; ++probe) {
      Entry& entry = entries_[(start + probe) % capacity];
      if (entry.mac == mac || entry.mac == 0) {
        entry = {mac, now, port};
        return;
      }
      if (oldest == nullptr || entry.seen < oldest->seen) oldest = &entry;
    }
    *oldest = {mac, now, port};
  }

  [[nodiscard]] std::optional<std::uint16_t> find(Mac mac, TimePoint now) const {
    const std::size_t start = hash(mac);
    for (std::size_t probe = 0; probe < probes; ++probe) {
      const Entry& entry = entries_[(start + probe) % capacity];
      if (entry.mac == mac) {
        if (now - entry.seen > age_max) return std::nullopt;
        return entry.port;
      }
      if (entry.mac == 0) return std::nullopt;
    }
    return std::nullopt;
  }

  // Entries become old rather than free, so that probing past them still works.
  void forget_port(std::uint16_t port) {
    for (Entry& entry : entries_) {
      if (entry.port == port) entry.seen = TimePoint{} - 2 * age_max;
    }
  }

 private:
  static constexpr std::size_t capacity = 8192;
  static constexpr std::size_t probes = 8;
  struct Entry {
    Mac mac = 0;
    TimePoint seen{};
    std::uint16_t port = 0;
  };

  static std::size_t hash(Mac mac) { return (mac * 0x9e3779b97f4a7c15) >> 51; }  // 13 bits

  std::vector<Entry> entries_;
};

}  // namespace lab::netsim
