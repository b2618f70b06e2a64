// The few rtnetlink requests that container networks need: bridges, veth pairs, addresses, routes.
// A socket belongs to the network namespace of the thread that opened it. Calls block briefly (the
// kernel answers at once).
#pragma once

#include <net/if.h>

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "base/file.hpp"

namespace lab::engine::network {

using MacAddress = std::array<std::uint8_t, 6>;

struct Link {
  int index = 0;
  std::string name;
  int master = 0;  // index of its bridge, or 0
  bool up = false;
};

class Netlink {
 public:
  [[nodiscard]] static Result<Netlink> open();

  [[nodiscard]] Result<std::vector<Link>> links();
  // Code::not_found when there is none.
  [[nodiscard]] Result<Link> link(std::string_view name);

  // Code::conflict when the name is taken.
  [[nodiscard]] Result<void> add_bridge(std::string_view name, const MacAddress& mac);
  // Two ends: `name` here, up and enslaved to the link with index `master`; `peer_name` in the
  // namespace behind `peer_namespace` (a descriptor), with `peer_mac`.
  struct Veth {
    std::string name;
    int master = 0;
    std::string peer_name;
    int peer_namespace = -1;
    MacAddress peer_mac{};
    int mtu = 1500;
  };
  [[nodiscard]] Result<void> add_veth(const Veth& veth);
  [[nodiscard]] Result<void> remove_link(int index);
  [[nodiscard]] Result<void> set_up(int index);
  // Lets the bridge send a frame back to the port it came from.
  [[nodiscard]] Result<void> set_hairpin(int index);
  [[nodiscard]] Result<void> set_mtu(int index, int mtu);
  // IPv4, host byte order. One that is there already is no error.
  [[nodiscard]] Result<void> add_address(int index, std::uint32_t address, int prefix);
  struct Address {
    int index = 0;
    std::uint32_t address = 0;
    int prefix = 0;
  };
  [[nodiscard]] Result<std::vector<Address>> addresses();
  [[nodiscard]] Result<void> add_default_route(std::uint32_t gateway);

 private:
  explicit Netlink(Fd fd) : fd_(std::move(fd)) {}
  class Message;
  // Sends the request and waits for the kernel's verdict.
  [[nodiscard]] Result<void> request(Message& message, std::string_view doing);
  template <typename Each>
  [[nodiscard]] Result<void> dump(Message& message, Each each);

  Fd fd_;
  std::uint32_t sequence_ = 0;
};

// "172.17.0.2" and back; host byte order.
[[nodiscard]] std::string format_ipv4(std::uint32_t address);
[[nodiscard]] Result<std::uint32_t> parse_ipv4(std::string_view text);
[[nodiscard]] std::string format_mac(const MacAddress& mac);

}  // namespace lab::engine::network
