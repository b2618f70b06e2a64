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

std::uint8_t family_of(const IpAddress& address) { return address.is_v4() ? AF_INET : AF_INET6; }

void add_address_attribute(NetlinkMessage& message, std::uint16_t type, const IpAddress& address) {
  if (address.is_v4()) {
    auto bytes = address.to_v4().to_bytes();
    message.attribute(type, bytes.data(), bytes.size());
  } else {
    auto bytes = address.to_v6().to_bytes();
    message.attribute(type, bytes.data(), bytes.size());
  }
}

IpAddress address_from(const void* data, std::size_t size) {
  boost::asio::ip::address_v4::bytes_type four{};
  boost::asio::ip::address_v6::bytes_type sixteen{};
  if (size == four.size()) {
    std::memcpy(four.data(), data, size);
    return boost::asio::ip::address_v4(four);
  }
  if (size == sixteen.size()) std::memcpy(sixteen.data(), data, size);
  return boost::asio::ip::address_v6(sixteen);
}

rtmsg route_body(std::uint8_t family) {
  rtmsg body{};
  body.rtm_family = family;
  body.rtm_table = RT_TABLE_MAIN;
  return body;
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

Result<void> Netlink::request(NetlinkMessage& message, std::string_view doing,
                              const std::function<void(const nlmsghdr*)>& each) {
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
      if (header->nlmsg_seq != sequence) continue;
      if (header->nlmsg_type != NLMSG_ERROR) {
        if (each) each(header);
        continue;
      }
      int number = -static_cast<nlmsgerr*>(NLMSG_DATA(header))->error;
      // No such device is what the kernel calls a missing link.
      if (number == ENODEV) return make_error(Code::not_found, "{}: no such device", doing);
      if (number != 0) return errno_error(number, doing);
      return {};
    }
  }
}

template <typename Each>
Result<void> Netlink::dump(NetlinkMessage& message, Each each) {
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
  NetlinkMessage message(RTM_GETLINK, 0);
  message.body(link_body());
  std::vector<Link> found;
  LAB_CHECK(dump(message, [&found](const nlmsghdr* header) {
    if (header->nlmsg_type == RTM_NEWLINK) found.push_back(parse_link(header));
  }));
  return found;
}

Result<Link> Netlink::link(std::string_view name) {
  NetlinkMessage message(RTM_GETLINK, 0);
  message.body(link_body());
  message.attribute(IFLA_IFNAME, name);
  std::optional<Link> found;
  Result<void> asked =
      request(message, fmt::format("network interface {}", name), [&found](const nlmsghdr* header) {
        if (header->nlmsg_type == RTM_NEWLINK) found = parse_link(header);
      });
  if (asked && found) return std::move(*found);
  if (!asked && asked.error().code != Code::not_found) return std::move(asked).error();
  return make_error(Code::not_found, "network interface {} not found", name);
}

Result<void> Netlink::add_bridge(std::string_view name, const MacAddress& mac) {
  NetlinkMessage message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
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
  NetlinkMessage message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
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
  NetlinkMessage message(RTM_DELLINK, 0);
  message.body(link_body(index));
  return request(message, fmt::format("removing interface {}", index));
}

Result<void> Netlink::set_up(int index) {
  NetlinkMessage message(RTM_NEWLINK, 0);
  ifinfomsg body = link_body(index);
  body.ifi_flags = IFF_UP;
  body.ifi_change = IFF_UP;
  message.body(body);
  return request(message, fmt::format("setting interface {} up", index));
}

Result<void> Netlink::set_hairpin(int index) {
  NetlinkMessage message(RTM_SETLINK, 0);
  ifinfomsg body = link_body(index);
  body.ifi_family = AF_BRIDGE;
  message.body(body);
  std::size_t port = message.begin(IFLA_PROTINFO | NLA_F_NESTED);
  message.number<std::uint8_t>(IFLA_BRPORT_MODE, 1);
  message.end(port);
  return request(message, fmt::format("setting hairpin mode of interface {}", index));
}

Result<void> Netlink::isolate_port(int index) {
  NetlinkMessage message(RTM_SETLINK, 0);
  ifinfomsg body = link_body(index);
  body.ifi_family = AF_BRIDGE;
  message.body(body);
  std::size_t port = message.begin(IFLA_PROTINFO | NLA_F_NESTED);
  message.number<std::uint8_t>(IFLA_BRPORT_ISOLATED, 1);
  message.end(port);
  return request(message, fmt::format("isolating interface {}", index));
}

Result<void> Netlink::set_mtu(int index, int mtu) {
  NetlinkMessage message(RTM_NEWLINK, 0);
  message.body(link_body(index));
  message.number<std::uint32_t>(IFLA_MTU, static_cast<std::uint32_t>(mtu));
  return request(message, fmt::format("setting MTU {} of interface {}", mtu, index));
}

Result<void> Netlink::add_address(int index, const IpAddress& address, int prefix) {
  NetlinkMessage message(RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE);
  ifaddrmsg body{};
  body.ifa_family = family_of(address);
  body.ifa_prefixlen = static_cast<std::uint8_t>(prefix);
  body.ifa_index = static_cast<unsigned>(index);
  if (address.is_v6()) body.ifa_flags = IFA_F_NODAD;
  message.body(body);
  add_address_attribute(message, IFA_LOCAL, address);
  add_address_attribute(message, IFA_ADDRESS, address);
  if (address.is_v4() && prefix < 31) {
    std::uint32_t host_bits = 0xffffffffU >> prefix;
    message.number<std::uint32_t>(IFA_BROADCAST, htonl(address.to_v4().to_uint() | host_bits));
  }
  return request(message, fmt::format("adding address {}/{}", address.to_string(), prefix));
}

Result<std::vector<Netlink::Address>> Netlink::addresses() {
  NetlinkMessage message(RTM_GETADDR, 0);
  ifaddrmsg body{};
  body.ifa_family = AF_UNSPEC;
  message.body(body);
  std::vector<Address> found;
  LAB_CHECK(dump(message, [&found](const nlmsghdr* header) {
    if (header->nlmsg_type != RTM_NEWADDR) return;
    const auto* body = static_cast<const ifaddrmsg*>(NLMSG_DATA(header));
    Address address;
    address.index = static_cast<int>(body->ifa_index);
    address.prefix = body->ifa_prefixlen;
    unsigned wanted = body->ifa_family == AF_INET ? IFA_LOCAL : IFA_ADDRESS;
    for_attributes(IFA_RTA(body), IFA_PAYLOAD(header),
                   [&address, wanted](unsigned type, const void* data, std::size_t size) {
                     if (type == wanted) address.address = address_from(data, size);
                   });
    found.push_back(address);
  }));
  return found;
}

Result<void> Netlink::set_default_route(int index, const IpAddress& gateway) {
  NetlinkMessage message(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE);
  rtmsg body = route_body(family_of(gateway));
  body.rtm_protocol = RTPROT_BOOT;
  body.rtm_scope = RT_SCOPE_UNIVERSE;
  body.rtm_type = RTN_UNICAST;
  message.body(body);
  add_address_attribute(message, RTA_GATEWAY, gateway);
  message.number<std::int32_t>(RTA_OIF, index);
  return request(message, fmt::format("adding the default route via {}", gateway.to_string()));
}

Result<void> Netlink::remove_default_route(bool ipv6) {
  NetlinkMessage message(RTM_DELROUTE, 0);
  rtmsg body = route_body(ipv6 ? AF_INET6 : AF_INET);
  body.rtm_scope = RT_SCOPE_NOWHERE;
  message.body(body);
  Result<void> done = request(message, "removing the default route");
  // ESRCH: there is none.
  if (!done && done.error().code == Code::not_found) return {};
  return done;
}

Result<std::vector<Subnet>> Netlink::routed_subnets() {
  NetlinkMessage message(RTM_GETROUTE, 0);
  message.body(route_body(AF_INET));
  std::vector<Subnet> found;
  LAB_CHECK(dump(message, [&found](const nlmsghdr* header) {
    const auto* body = static_cast<const rtmsg*>(NLMSG_DATA(header));
    if (header->nlmsg_type != RTM_NEWROUTE || body->rtm_table != RT_TABLE_MAIN ||
        body->rtm_dst_len == 0)
      return;
    Subnet subnet;
    subnet.prefix = body->rtm_dst_len;
    for_attributes(RTM_RTA(body), RTM_PAYLOAD(header),
                   [&subnet](unsigned type, const void* data, std::size_t size) {
                     if (type == RTA_DST) subnet.base = address_from(data, size);
                   });
    found.push_back(subnet);
  }));
  return found;
}

}  // namespace lab::engine::network
