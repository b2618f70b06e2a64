#include "vm/port_relay.hpp"

#include <sstream>

#include "base/digest.hpp"

namespace lab::vm {

std::string relay_address(const MachineId& id) {
  const std::string hex = sha256_hex("relay\n" + id.lab_id + "\n" + id.name);
  const auto byte = [&hex](std::size_t index) {
    return std::stoul(hex.substr(2 * index, 2), nullptr, 16);
  };
  // Neither 127.0.x.x, where other programs live, nor a broadcast address.
  return fmt::format("127.{}.{}.{}", 64 + byte(0) % 128, byte(1), 1 + byte(2) % 254);
}

std::string add_relay_command(const PortRelay& relay) {
  return fmt::format("hostfwd_add mgmt tcp:{}:{}-:{}", relay.host_address, relay.host_port,
                     relay.guest_port);
}

std::string remove_relay_command(const PortRelay& relay) {
  return fmt::format("hostfwd_remove mgmt tcp:{}:{}", relay.host_address, relay.host_port);
}

std::vector<PortRelay> parse_relays(std::string_view user_network) {
  // "TCP[HOST_FORWARD]  12  127.0.0.1 20123  10.0.2.15  22  0  0"
  std::vector<PortRelay> relays;
  std::istringstream lines{std::string(user_network)};
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string protocol;
    std::string fd;
    std::string guest_address;
    PortRelay relay;
    if (words >> protocol >> fd >> relay.host_address >> relay.host_port >> guest_address >>
            relay.guest_port &&
        protocol == "TCP[HOST_FORWARD]") {
      relays.push_back(std::move(relay));
    }
  }
  return relays;
}

}  // namespace lab::vm
