// One transaction of nf_tables as netlink messages, for what happens with every container: elements
// of maps come and go, and a namespace gets its few rules for the name server. Rulesets that are
// written once are text for the `nft` program instead (firewall.cpp).
//
// Spoken here by hand because Debian has libnftnl as an archive but not the libmnl below it, and
// engined is one static file.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "engine/network/address.hpp"
#include "engine/network/netlink_message.hpp"

namespace lab::engine::network {

enum class NftFamily : std::uint8_t { inet = 1, ipv4 = 2 };

// The key or data of an element: fields one after the other, each padded to four bytes.
class NftValue {
 public:
  NftValue& protocol(std::uint8_t number);
  NftValue& port(std::uint16_t number);
  NftValue& address(const IpAddress& address);
  [[nodiscard]] const std::string& bytes() const { return bytes_; }

 private:
  void append(const void* data, std::size_t size);
  std::string bytes_;
};

class NftBatch {
 public:
  explicit NftBatch(NftFamily family, std::string table)
      : family_(family), table_(std::move(table)) {}

  // An element that is there already with the same data is no error.
  void add_element(std::string_view map, const NftValue& key, const NftValue& data);
  // What is not there is no error: it is added first.
  void remove_element(std::string_view map, const NftValue& key, const NftValue& data);
  // Makes the table anew, with one chain that sends what goes to `from`:53 over UDP and TCP to
  // `from`:`port` instead. Of the IPv4 family.
  void redirect_names(const IpAddress& from, std::uint16_t port);

  // All or nothing. In the network namespace of the calling thread.
  [[nodiscard]] Result<void> commit();

 private:
  NetlinkMessage& message(std::uint16_t type, std::uint16_t flags);
  void element(std::uint16_t type, std::uint16_t flags, std::string_view map, const NftValue& key,
               const NftValue* data);
  void redirect_rule(std::uint8_t protocol, const IpAddress& from, std::uint16_t port);

  NftFamily family_;
  std::string table_;
  std::vector<NetlinkMessage> messages_;
};

}  // namespace lab::engine::network
