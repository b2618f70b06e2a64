#include "engine/network/netlink.hpp"

#include <arpa/inet.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace lab::engine::network {

// A request under construction: header, family header, nested attributes.
class Netlink::Message {
 public:
  Message(std::uint16_t type, std::uint16_t flags) {
    nlmsghdr header{};
    header.nlmsg_type = type;
    header.nlmsg_flags = static_cast<std::uint16_t>(NLM_F_REQUEST | flags);
    append(&header, sizeof header);
  }

  template <typename T>
  void body(const T& value) {
    append(&value, sizeof value);
  }
  void attribute(std::uint16_t type, const void* data, std::size_t size) {
    rtattr header{static_cast<unsigned short>(RTA_LENGTH(size)), type};
    append(&header, sizeof header);
    append(data, size);
  }
  void attribute(std::uint16_t type, std::string_view text) {
    std::string terminated(text);
    attribute(type, terminated.c_str(), terminated.size() + 1);
  }
  template <typename T>
  void number(std::uint16_t type, T value) {
    attribute(type, &value, sizeof value);
  }
  [[nodiscard]] std::size_t begin(std::uint16_t type) {
    std::size_t start = bytes_.size();
    rtattr header{0, type};
    append(&header, sizeof header);
    return start;
  }
  void end(std::size_t start) {
    auto length = static_cast<unsigned short>(bytes_.size() - start);
    std::memcpy(bytes_.data() + start, &length, sizeof length);
  }
  std::string& finish(std::uint32_t sequence) {
    auto length = static_cast<std::uint32_t>(bytes_.size());
    std::memcpy(bytes_.data() + offsetof(nlmsghdr, nlmsg_len), &length, sizeof length);
    std::memcpy(bytes_.data() + offsetof(nlmsghdr, nlmsg_seq), &sequence, sizeof sequence);
    return bytes_;
  }
  void add_flags(std::uint16_t flags) {
    std::uint16_t all = 0;
    std::memcpy(&all, bytes_.data() + offsetof(nlmsghdr, nlmsg_flags), sizeof all);
    all = static_cast<std::uint16_t>(all | flags);
    std::memcpy(bytes_.data() + offsetof(nlmsghdr, nlmsg_flags), &all, sizeof all);
  }

 private:
  void append(const void* data, std::size_t size) {
    bytes_.append(static_cast<const char*>(data), size);
    bytes_.resize(NLMSG_ALIGN(bytes_.size()), '\0');
  }
  std::string bytes_;
};

namespace {

ifinfomsg link_body(int index = 0) {
  ifinfomsg body{};
  body.ifi_family = AF_UNSPEC;
  body.ifi_index = index;
  return body;
}

// Calls each(type, data, size) for the attributes from `first` on.
template <typename Each>
void for_attributes(const rtattr* first, std::size_t size, Each each) {
  auto left = static_cast<unsigned>(size);
  for (const rtattr* at = first; RTA_OK(at, left); at = RTA_NEXT(at, left))
    each(at->rta_type, RTA_DATA(at), RTA_PAYLOAD(at));
}

Link parse_link(const nlmsghdr* header) {
  const auto* body = static_cast<const ifinfomsg*>(NLMSG_DATA(header));
  Link link;
  link.index = body->ifi_index;
  link.up = (body->ifi_flags & IFF_UP) != 0;
  for_attributes(IFLA_RTA(body), IFLA_PAYLOAD(header),
                 [&link](unsigned type, const void* data, std::size_t size) {
                   if (type == IFLA_IFNAME)
                     link.name.assign(static_cast<const char*>(data),
                                      strnlen(static_cast<const char*>(data), size));
                   if (type == IFLA_MASTER) std::memcpy(&link.master, data, sizeof link.master);
                 });
  return link;
}

}  // namespace

Result<Netlink> Netlink::open() {
  Fd fd(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
  if (!fd) return errno_error(errno, "opening a netlink socket");
  int size = 1 << 20;
  setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
  timeval deadline{10, 0};
  setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &deadline, sizeof deadline);
  return Netlink(std::move(fd));
}

Result<void> Netlink::request(Message& message, std::string_view doing) {
  message.add_flags(NLM_F_ACK);
  std::uint32_t sequence = ++sequence_;
  const std::string& bytes = message.finish(sequence);
  if (send(fd_.get(), bytes.data(), bytes.size(), 0) < 0) return errno_error(errno, doing);
  alignas(nlmsghdr) char buffer[8192];
  for (;;) {
    ssize_t got = recv(fd_.get(), buffer, sizeof buffer, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errno_error(errno, doing);
    auto left = static_cast<unsigned>(got);
    for (auto* header = reinterpret_cast<nlmsghdr*>(buffer); NLMSG_OK(header, left);
         header = NLMSG_NEXT(header, left)) {
      if (header->nlmsg_seq != sequence || header->nlmsg_type != NLMSG_ERROR) continue;
      int number = -static_cast<nlmsgerr*>(NLMSG_DATA(header))->error;
      if (number != 0) return errno_error(number, doing);
      return {};
    }
  }
}

template <typename Each>
Result<void> Netlink::dump(Message& message, Each each) {
  message.add_flags(NLM_F_DUMP);
  std::uint32_t sequence = ++sequence_;
  const std::string& bytes = message.finish(sequence);
  if (send(fd_.get(), bytes.data(), bytes.size(), 0) < 0)
    return errno_error(errno, "listing network interfaces");
  alignas(nlmsghdr) static thread_local char buffer[65536];
  for (;;) {
    ssize_t got = recv(fd_.get(), buffer, sizeof buffer, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errno_error(errno, "listing network interfaces");
    auto left = static_cast<unsigned>(got);
    for (auto* header = reinterpret_cast<nlmsghdr*>(buffer); NLMSG_OK(header, left);
         header = NLMSG_NEXT(header, left)) {
      if (header->nlmsg_seq != sequence) continue;
      if (header->nlmsg_type == NLMSG_DONE) return {};
      if (header->nlmsg_type == NLMSG_ERROR)
        return errno_error(-static_cast<nlmsgerr*>(NLMSG_DATA(header))->error,
                           "listing network interfaces");
      each(header);
    }
  }
}

Result<std::vector<Link>> Netlink::links() {
  Message message(RTM_GETLINK, 0);
  message.body(link_body());
  std::vector<Link> found;
  LAB_CHECK(dump(message, [&found](const nlmsghdr* header) {
    if (header->nlmsg_type == RTM_NEWLINK) found.push_back(parse_link(header));
  }));
  return found;
}

Result<Link> Netlink::link(std::string_view name) {
  // SIOCGIFINDEX through if_nametoindex would use a socket of another namespace; the dump is exact.
  LAB_TRY(std::vector<Link> all, links());
  for (Link& link : all) {
    if (link.name == name) return std::move(link);
  }
  return make_error(Code::not_found, "network interface {} not found", name);
}

Result<void> Netlink::add_bridge(std::string_view name, const MacAddress& mac) {
  Message message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
  ifinfomsg body = link_body();
  body.ifi_flags = IFF_UP;
  body.ifi_change = IFF_UP;
  message.body(body);
  message.attribute(IFLA_IFNAME, name);
  message.attribute(IFLA_ADDRESS, mac.data(), mac.size());
  std::size_t info = message.begin(IFLA_LINKINFO);
  message.attribute(IFLA_INFO_KIND, std::string_view("bridge"));
  message.end(info);
  return request(message, fmt::format("creating bridge {}", name));
}

Result<void> Netlink::add_veth(const Veth& veth) {
  Message message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
  ifinfomsg body = link_body();
  body.ifi_flags = IFF_UP;
  body.ifi_change = IFF_UP;
  message.body(body);
  message.attribute(IFLA_IFNAME, veth.name);
  message.number<std::uint32_t>(IFLA_MTU, static_cast<std::uint32_t>(veth.mtu));
  if (veth.master != 0) message.number<std::int32_t>(IFLA_MASTER, veth.master);
  std::size_t info = message.begin(IFLA_LINKINFO);
  message.attribute(IFLA_INFO_KIND, std::string_view("veth"));
  std::size_t data = message.begin(IFLA_INFO_DATA);
  std::size_t peer = message.begin(VETH_INFO_PEER);
  message.body(link_body());
  message.attribute(IFLA_IFNAME, veth.peer_name);
  message.number<std::uint32_t>(IFLA_MTU, static_cast<std::uint32_t>(veth.mtu));
  message.attribute(IFLA_ADDRESS, veth.peer_mac.data(), veth.peer_mac.size());
  if (veth.peer_namespace >= 0)
    message.number<std::uint32_t>(IFLA_NET_NS_FD, static_cast<std::uint32_t>(veth.peer_namespace));
  message.end(peer);
  message.end(data);
  message.end(info);
  return request(message, fmt::format("creating veth pair {}", veth.name));
}

Result<void> Netlink::remove_link(int index) {
  Message message(RTM_DELLINK, 0);
  message.body(link_body(index));
  return request(message, fmt::format("removing interface {}", index));
}

Result<void> Netlink::set_up(int index) {
  Message message(RTM_NEWLINK, 0);
  ifinfomsg body = link_body(index);
  body.ifi_flags = IFF_UP;
  body.ifi_change = IFF_UP;
  message.body(body);
  return request(message, fmt::format("setting interface {} up", index));
}

Result<void> Netlink::set_hairpin(int index) {
  Message message(RTM_SETLINK, 0);
  ifinfomsg body = link_body(index);
  body.ifi_family = AF_BRIDGE;
  message.body(body);
  std::size_t port = message.begin(IFLA_PROTINFO | NLA_F_NESTED);
  message.number<std::uint8_t>(IFLA_BRPORT_MODE, 1);
  message.end(port);
  return request(message, fmt::format("setting hairpin mode of interface {}", index));
}

Result<void> Netlink::set_mtu(int index, int mtu) {
  Message message(RTM_NEWLINK, 0);
  message.body(link_body(index));
  message.number<std::uint32_t>(IFLA_MTU, static_cast<std::uint32_t>(mtu));
  return request(message, fmt::format("setting MTU {} of interface {}", mtu, index));
}

Result<void> Netlink::add_address(int index, std::uint32_t address, int prefix) {
  Message message(RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE);
  ifaddrmsg body{};
  body.ifa_family = AF_INET;
  body.ifa_prefixlen = static_cast<std::uint8_t>(prefix);
  body.ifa_index = static_cast<unsigned>(index);
  message.body(body);
  message.number<std::uint32_t>(IFA_LOCAL, htonl(address));
  message.number<std::uint32_t>(IFA_ADDRESS, htonl(address));
  std::uint32_t host_bits = prefix >= 32 ? 0 : 0xffffffffU >> prefix;
  message.number<std::uint32_t>(IFA_BROADCAST, htonl(address | host_bits));
  return request(message, fmt::format("adding address {}/{}", format_ipv4(address), prefix));
}

Result<std::vector<Netlink::Address>> Netlink::addresses() {
  Message message(RTM_GETADDR, 0);
  ifaddrmsg body{};
  body.ifa_family = AF_INET;
  message.body(body);
  std::vector<Address> found;
  LAB_CHECK(dump(message, [&found](const nlmsghdr* header) {
    if (header->nlmsg_type != RTM_NEWADDR) return;
    const auto* body = static_cast<const ifaddrmsg*>(NLMSG_DATA(header));
    Address address;
    address.index = static_cast<int>(body->ifa_index);
    address.prefix = body->ifa_prefixlen;
    for_attributes(IFA_RTA(body), IFA_PAYLOAD(header),
                   [&address](unsigned type, const void* data, std::size_t) {
                     if (type != IFA_LOCAL) return;
                     std::uint32_t raw = 0;
                     std::memcpy(&raw, data, sizeof raw);
                     address.address = ntohl(raw);
                   });
    found.push_back(address);
  }));
  return found;
}

Result<void> Netlink::add_default_route(std::uint32_t gateway) {
  Message message(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE);
  rtmsg body{};
  body.rtm_family = AF_INET;
  body.rtm_table = RT_TABLE_MAIN;
  body.rtm_protocol = RTPROT_BOOT;
  body.rtm_scope = RT_SCOPE_UNIVERSE;
  body.rtm_type = RTN_UNICAST;
  message.body(body);
  message.number<std::uint32_t>(RTA_GATEWAY, htonl(gateway));
  return request(message, fmt::format("adding the default route via {}", format_ipv4(gateway)));
}

std::string format_ipv4(std::uint32_t address) {
  return fmt::format("{}.{}.{}.{}", address >> 24, address >> 16 & 255, address >> 8 & 255,
                     address & 255);
}

Result<std::uint32_t> parse_ipv4(std::string_view text) {
  in_addr address{};
  if (inet_pton(AF_INET, std::string(text).c_str(), &address) != 1)
    return make_error(Code::invalid_argument, "\"{}\" is not an IPv4 address", text);
  return ntohl(address.s_addr);
}

std::string format_mac(const MacAddress& mac) {
  return fmt::format("{:02x}:{:02x}:{:02x}:{:02x}:{:02x}:{:02x}", mac[0], mac[1], mac[2], mac[3],
                     mac[4], mac[5]);
}

}  // namespace lab::engine::network
