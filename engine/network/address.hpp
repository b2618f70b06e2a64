// Addresses and subnets of both families, and the pool of a network's addresses.
#pragma once

#include <array>
#include <boost/asio/ip/address.hpp>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"

namespace lab::engine::network {

using IpAddress = boost::asio::ip::address;
using MacAddress = std::array<std::uint8_t, 6>;

// Empty when the text is no address. "::ffff:10.0.0.1" is the IPv4 address, as for Go.
[[nodiscard]] std::optional<IpAddress> parse_address(std::string_view text);
// "02:42:ac:11:00:02" and back; Code::internal with Go's text "address x: invalid MAC address".
[[nodiscard]] std::string format_mac(const MacAddress& mac);
[[nodiscard]] Result<MacAddress> parse_mac(std::string_view text);
// As Docker derives it from an IPv4 address, so that a container that gets an address again has the
// same MAC.
[[nodiscard]] MacAddress mac_for(const IpAddress& address);

struct Subnet {
  IpAddress base;  // host bits are zero
  int prefix = 0;

  // "172.17.0.0/16"; host bits are cleared. Code::internal "invalid CIDR address: x".
  [[nodiscard]] static Result<Subnet> parse(std::string_view text);
  [[nodiscard]] bool contains(const IpAddress& address) const;
  [[nodiscard]] bool overlaps(const Subnet& other) const;
  // The address `offset` places after the base; the caller stays inside.
  [[nodiscard]] IpAddress at(std::uint64_t offset) const;
  // Number of addresses, 2^63 at most.
  [[nodiscard]] std::uint64_t size() const;
  [[nodiscard]] std::string text() const;

  bool operator==(const Subnet&) const = default;
};

// Which addresses of a subnet are taken. Neither the subnet's own address nor, with IPv4, its
// broadcast address is given out.
class AddressPool {
 public:
  AddressPool() = default;
  // `range`: where addresses that nobody asked for come from; the whole subnet by default.
  explicit AddressPool(const Subnet& subnet, const std::optional<Subnet>& range = std::nullopt)
      : subnet_(subnet), range_(range.value_or(subnet)) {}

  [[nodiscard]] const Subnet& subnet() const { return subnet_; }
  // The lowest free one. Docker's errors.
  [[nodiscard]] Result<IpAddress> take_any();
  // This one: Code::forbidden "Address already in use", Code::internal "Requested address is out of
  // range".
  [[nodiscard]] Result<void> take(const IpAddress& address);
  // As take(), without a check: for what is there already.
  void adopt(const IpAddress& address) { used_.insert(address); }
  void give_back(const IpAddress& address) { used_.erase(address); }

 private:
  [[nodiscard]] bool is_reserved(const IpAddress& address) const;

  Subnet subnet_;
  Subnet range_;
  std::set<IpAddress> used_;
};

// The subnets that networks get when nobody names one: Docker's default address pools.
struct DefaultPool {
  Subnet base;
  int prefix = 0;  // of the networks cut out of it
};
[[nodiscard]] const std::vector<DefaultPool>& docker_default_pools();
// The first subnet of the pools that overlaps none of `taken`; none left gives nothing.
[[nodiscard]] std::optional<Subnet> free_subnet(const std::vector<DefaultPool>& pools,
                                                const std::vector<Subnet>& taken);

}  // namespace lab::engine::network
