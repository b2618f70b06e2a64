// The few rtnetlink requests that container networks need: bridges, veth pairs, addresses, routes.
// A socket belongs to the network namespace of the thread that opened it. Calls block briefly (the
// kernel answers at once).
#pragma once

#include <net/if.h>

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "base/file.hpp"
#include "engine/network/address.hpp"
#include "engine/network/netlink_message.hpp"

namespace lab::engine::network {

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
  // Keeps the bridge from passing frames between this port and others like it.
  [[nodiscard]] Result<void> isolate_port(int index);
  [[nodiscard]] Result<void> set_mtu(int index, int mtu);
  // The network's own broadcast address with IPv4; no duplicate detection with IPv6. One that is
  // there already is no error.
  [[nodiscard]] Result<void> add_address(int index, const IpAddress& address, int prefix);
  struct Address {
    int index = 0;
    IpAddress address;
    int prefix = 0;
  };
  // Of both families.
  [[nodiscard]] Result<std::vector<Address>> addresses();
  // Replaces the one of the gateway's family.
  [[nodiscard]] Result<void> set_default_route(int index, const IpAddress& gateway);
  // What is not there is no error.
  [[nodiscard]] Result<void> remove_default_route(bool ipv6);
  // The subnets that routes of this host lead to, default routes left out.
  [[nodiscard]] Result<std::vector<Subnet>> routed_subnets();

 private:
  explicit Netlink(Fd fd) : fd_(std::move(fd)) {}
  // Sends the request and waits for the kernel's verdict; `each` sees what comes before it.
  [[nodiscard]] Result<void> request(NetlinkMessage& message, std::string_view doing,
                                     const std::function<void(const nlmsghdr*)>& each = {});
  template <typename Each>
  [[nodiscard]] Result<void> dump(NetlinkMessage& message, Each each);

  Fd fd_;
  std::uint32_t sequence_ = 0;
};

}  // namespace lab::engine::network
