// A machine's network card as the switch sees it: a UDP socket on loopback that sends and takes
// Ethernet frames.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/file.hpp"
#include "netsim/switch.hpp"

namespace lab::netsim {

class FakeNic {
 public:
  // Takes a free port for itself and one for the switch.
  FakeNic(std::string machine, unsigned number);

  [[nodiscard]] SwitchPort port() const { return {machine_, switch_port_, nic_port_}; }
  [[nodiscard]] const std::string& machine() const { return machine_; }
  [[nodiscard]] std::string mac() const;  // six bytes
  [[nodiscard]] std::uint16_t switch_port() const { return switch_port_; }
  [[nodiscard]] std::uint16_t nic_port() const { return nic_port_; }

  // A frame from this card; "broadcast" when `to` is null.
  void send(const FakeNic* to, const std::string& payload) const;
  void send_raw(const std::string& bytes) const;
  // The next frame's payload; nothing when none comes in time.
  [[nodiscard]] std::optional<std::string> receive(int timeout_ms = 2000) const;
  [[nodiscard]] int fd() const { return fd_.get(); }
  void unplug() { fd_.reset(); }
  void plug();  // the same port again

 private:
  std::string machine_;
  unsigned number_;
  Fd fd_;
  std::uint16_t nic_port_ = 0;
  std::uint16_t switch_port_ = 0;
};

}  // namespace lab::netsim
