#include "engine/network/nft_batch.hpp"

#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_nat.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <sys/socket.h>

#include <cerrno>

#include "base/file.hpp"

namespace lab::engine::network {

namespace {

constexpr std::uint16_t name_port = 53;
constexpr const char* output_chain = "output";
// nftables' and iptables' own: destination translation of what this host sends.
constexpr std::int32_t output_priority = -100;
constexpr std::uint32_t address_offset = 16;  // destination, in an IPv4 header
constexpr std::uint32_t port_offset = 2;      // destination, in a UDP or TCP header

void add_number(NetlinkMessage& message, std::uint16_t type, std::uint32_t value) {
  message.number<std::uint32_t>(type, htonl(value));
}

void add_data(NetlinkMessage& message, std::uint16_t type, const std::string& bytes) {
  std::size_t data = message.begin(type | NLA_F_NESTED);
  message.attribute(NFTA_DATA_VALUE, bytes.data(), bytes.size());
  message.end(data);
}

// One expression of a rule: `fill` writes its attributes.
template <typename Fill>
void add_expression(NetlinkMessage& message, std::string_view name, Fill fill) {
  std::size_t item = message.begin(NFTA_LIST_ELEM | NLA_F_NESTED);
  message.attribute(NFTA_EXPR_NAME, name);
  std::size_t data = message.begin(NFTA_EXPR_DATA | NLA_F_NESTED);
  fill();
  message.end(data);
  message.end(item);
}

// The packet has `value` at this place of a header.
void match_payload(NetlinkMessage& message, std::uint32_t base, std::uint32_t offset,
                   const std::string& value) {
  add_expression(message, "payload", [&] {
    add_number(message, NFTA_PAYLOAD_DREG, NFT_REG_1);
    add_number(message, NFTA_PAYLOAD_BASE, base);
    add_number(message, NFTA_PAYLOAD_OFFSET, offset);
    add_number(message, NFTA_PAYLOAD_LEN, static_cast<std::uint32_t>(value.size()));
  });
  add_expression(message, "cmp", [&] {
    add_number(message, NFTA_CMP_SREG, NFT_REG_1);
    add_number(message, NFTA_CMP_OP, NFT_CMP_EQ);
    add_data(message, NFTA_CMP_DATA, value);
  });
}

void match_protocol(NetlinkMessage& message, std::uint8_t protocol) {
  add_expression(message, "meta", [&] {
    add_number(message, NFTA_META_DREG, NFT_REG_1);
    add_number(message, NFTA_META_KEY, NFT_META_L4PROTO);
  });
  add_expression(message, "cmp", [&] {
    add_number(message, NFTA_CMP_SREG, NFT_REG_1);
    add_number(message, NFTA_CMP_OP, NFT_CMP_EQ);
    add_data(message, NFTA_CMP_DATA, std::string(1, static_cast<char>(protocol)));
  });
}

void load(NetlinkMessage& message, std::uint32_t target, const std::string& value) {
  add_expression(message, "immediate", [&] {
    add_number(message, NFTA_IMMEDIATE_DREG, target);
    add_data(message, NFTA_IMMEDIATE_DATA, value);
  });
}

std::string port_bytes(std::uint16_t port) {
  return {static_cast<char>(port >> 8), static_cast<char>(port & 0xff)};
}

Result<void> read_verdicts(int fd, std::size_t count) {
  alignas(nlmsghdr) char buffer[8192];
  while (count > 0) {
    ssize_t got = recv(fd, buffer, sizeof buffer, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errno_error(errno, "reading the kernel's verdict on nftables rules");
    auto left = static_cast<unsigned>(got);
    for (auto* header = reinterpret_cast<nlmsghdr*>(buffer); NLMSG_OK(header, left);
         header = NLMSG_NEXT(header, left)) {
      if (header->nlmsg_type != NLMSG_ERROR) continue;
      int number = -static_cast<nlmsgerr*>(NLMSG_DATA(header))->error;
      if (number != 0) return errno_error(number, "changing nftables rules");
      --count;
    }
  }
  return {};
}

std::string batch_mark(std::uint16_t type) {
  NetlinkMessage message(type, 0);
  nfgenmsg body{AF_UNSPEC, NFNETLINK_V0, htons(NFNL_SUBSYS_NFTABLES)};
  message.body(body);
  return message.finish(0);
}

}  // namespace

void NftValue::append(const void* data, std::size_t size) {
  bytes_.append(static_cast<const char*>(data), size);
  bytes_.resize((bytes_.size() + 3) / 4 * 4, '\0');
}

NftValue& NftValue::protocol(std::uint8_t number) {
  append(&number, sizeof number);
  return *this;
}

NftValue& NftValue::port(std::uint16_t number) {
  std::uint16_t raw = htons(number);
  append(&raw, sizeof raw);
  return *this;
}

NftValue& NftValue::address(const IpAddress& address) {
  if (address.is_v4()) {
    auto bytes = address.to_v4().to_bytes();
    append(bytes.data(), bytes.size());
  } else {
    auto bytes = address.to_v6().to_bytes();
    append(bytes.data(), bytes.size());
  }
  return *this;
}

NetlinkMessage& NftBatch::message(std::uint16_t type, std::uint16_t flags) {
  constexpr std::uint16_t subsystem = NFNL_SUBSYS_NFTABLES << 8;
  messages_.emplace_back(static_cast<std::uint16_t>(subsystem | type),
                         static_cast<std::uint16_t>(flags | NLM_F_ACK));
  nfgenmsg body{static_cast<std::uint8_t>(family_), NFNETLINK_V0, 0};
  messages_.back().body(body);
  return messages_.back();
}

void NftBatch::element(std::uint16_t type, std::uint16_t flags, std::string_view map,
                       const NftValue& key, const NftValue* data) {
  NetlinkMessage& request = message(type, flags);
  request.attribute(NFTA_SET_ELEM_LIST_TABLE, table_);
  request.attribute(NFTA_SET_ELEM_LIST_SET, map);
  std::size_t list = request.begin(NFTA_SET_ELEM_LIST_ELEMENTS | NLA_F_NESTED);
  std::size_t item = request.begin(NFTA_LIST_ELEM | NLA_F_NESTED);
  add_data(request, NFTA_SET_ELEM_KEY, key.bytes());
  if (data != nullptr) add_data(request, NFTA_SET_ELEM_DATA, data->bytes());
  request.end(item);
  request.end(list);
}

void NftBatch::add_element(std::string_view map, const NftValue& key, const NftValue& data) {
  element(NFT_MSG_NEWSETELEM, NLM_F_CREATE, map, key, &data);
}

void NftBatch::remove_element(std::string_view map, const NftValue& key, const NftValue& data) {
  element(NFT_MSG_NEWSETELEM, NLM_F_CREATE, map, key, &data);
  element(NFT_MSG_DELSETELEM, 0, map, key, nullptr);
}

void NftBatch::redirect_rule(std::uint8_t protocol, const IpAddress& from, std::uint16_t port) {
  auto raw = from.to_v4().to_bytes();
  std::string address(raw.begin(), raw.end());
  NetlinkMessage& rule = message(NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND);
  rule.attribute(NFTA_RULE_TABLE, table_);
  rule.attribute(NFTA_RULE_CHAIN, output_chain);
  std::size_t list = rule.begin(NFTA_RULE_EXPRESSIONS | NLA_F_NESTED);
  match_payload(rule, NFT_PAYLOAD_NETWORK_HEADER, address_offset, address);
  match_protocol(rule, protocol);
  match_payload(rule, NFT_PAYLOAD_TRANSPORT_HEADER, port_offset, port_bytes(name_port));
  load(rule, NFT_REG_1, address);
  load(rule, NFT_REG_2, port_bytes(port));
  add_expression(rule, "nat", [&rule] {
    add_number(rule, NFTA_NAT_TYPE, NFT_NAT_DNAT);
    add_number(rule, NFTA_NAT_FAMILY, NFPROTO_IPV4);
    add_number(rule, NFTA_NAT_REG_ADDR_MIN, NFT_REG_1);
    add_number(rule, NFTA_NAT_REG_PROTO_MIN, NFT_REG_2);
  });
  rule.end(list);
}

void NftBatch::redirect_names(const IpAddress& from, std::uint16_t port) {
  // Created first, so that there is something to delete.
  message(NFT_MSG_NEWTABLE, NLM_F_CREATE).attribute(NFTA_TABLE_NAME, table_);
  message(NFT_MSG_DELTABLE, 0).attribute(NFTA_TABLE_NAME, table_);
  message(NFT_MSG_NEWTABLE, NLM_F_CREATE).attribute(NFTA_TABLE_NAME, table_);
  NetlinkMessage& chain = message(NFT_MSG_NEWCHAIN, NLM_F_CREATE);
  chain.attribute(NFTA_CHAIN_TABLE, table_);
  chain.attribute(NFTA_CHAIN_NAME, output_chain);
  std::size_t hook = chain.begin(NFTA_CHAIN_HOOK | NLA_F_NESTED);
  add_number(chain, NFTA_HOOK_HOOKNUM, NF_INET_LOCAL_OUT);
  add_number(chain, NFTA_HOOK_PRIORITY, static_cast<std::uint32_t>(output_priority));
  chain.end(hook);
  chain.attribute(NFTA_CHAIN_TYPE, std::string_view("nat"));
  redirect_rule(IPPROTO_UDP, from, port);
  redirect_rule(IPPROTO_TCP, from, port);
}

Result<void> NftBatch::commit() {
  if (messages_.empty()) return {};
  Fd fd(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER));
  if (!fd) return errno_error(errno, "opening a netlink socket");
  timeval deadline{60, 0};  // the kernel may have to load its modules first
  setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &deadline, sizeof deadline);
  std::string bytes = batch_mark(NFNL_MSG_BATCH_BEGIN);
  std::uint32_t sequence = 0;
  for (NetlinkMessage& message : messages_) bytes += message.finish(++sequence);
  bytes += batch_mark(NFNL_MSG_BATCH_END);
  if (send(fd.get(), bytes.data(), bytes.size(), 0) < 0)
    return errno_error(errno, "changing nftables rules");
  std::size_t count = messages_.size();
  messages_.clear();
  return read_verdicts(fd.get(), count);
}

}  // namespace lab::engine::network
