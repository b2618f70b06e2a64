// Host ports in use by published container ports. Each is held by a bound socket that nobody reads,
// so that no other program of the host takes it while nftables diverts its traffic.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <tuple>

#include "base/error.hpp"
#include "base/file.hpp"

namespace lab::engine::network {

class PortRegistry {
 public:
  // Takes `port` on `address` (host byte order, 0: all). Code::conflict with Docker's text when
  // another container has it, or another program.
  [[nodiscard]] Result<void> take(const std::string& protocol, std::uint32_t address,
                                  std::uint16_t port);
  // The first free one of [first, last]; first 0 takes any of the dynamic range, in turn.
  [[nodiscard]] Result<std::uint16_t> take_any(const std::string& protocol, std::uint32_t address,
                                               std::uint16_t first, std::uint16_t last);
  // As take(), and a failure to bind is only logged: at restart, for a container that runs.
  void adopt(const std::string& protocol, std::uint32_t address, std::uint16_t port);
  void give_back(const std::string& protocol, std::uint32_t address, std::uint16_t port);

 private:
  using Key = std::tuple<std::string, std::uint32_t, std::uint16_t>;
  [[nodiscard]] bool taken(const Key& key) const;

  std::map<Key, Fd> held_;
  std::uint16_t next_dynamic_ = 0;
};

}  // namespace lab::engine::network
