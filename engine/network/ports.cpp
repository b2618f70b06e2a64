#include "engine/network/ports.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <charconv>

#include "base/log.hpp"

namespace lab::engine::network {

namespace {

// The kernel's range for ports nobody asked for.
std::pair<std::uint16_t, std::uint16_t> dynamic_range() {
  std::pair<std::uint16_t, std::uint16_t> range{32768, 60999};
  Result<std::string> text = read_file("/proc/sys/net/ipv4/ip_local_port_range", 64);
  if (!text) return range;
  const char* end = text->data() + text->size();
  auto [at, failure] = std::from_chars(text->data(), end, range.first);
  while (at != end && (*at == ' ' || *at == '\t')) ++at;
  std::from_chars(at, end, range.second);
  return range;
}

sockaddr_storage socket_address(const IpAddress& address, std::uint16_t port) {
  sockaddr_storage name{};
  if (address.is_v4()) {
    auto& v4 = reinterpret_cast<sockaddr_in&>(name);
    v4.sin_family = AF_INET;
    v4.sin_addr.s_addr = htonl(address.to_v4().to_uint());
    v4.sin_port = htons(port);
  } else {
    auto& v6 = reinterpret_cast<sockaddr_in6&>(name);
    v6.sin6_family = AF_INET6;
    auto bytes = address.to_v6().to_bytes();
    std::copy(bytes.begin(), bytes.end(), v6.sin6_addr.s6_addr);
    v6.sin6_port = htons(port);
  }
  return name;
}

const char* bind_failure(int number) {
  switch (number) {
    case EADDRINUSE: return "address already in use";
    case EADDRNOTAVAIL: return "cannot assign requested address";
    case EACCES: return "permission denied";
    default: return "cannot bind";
  }
}

std::string place(const IpAddress& address, std::uint16_t port) {
  const char* form = address.is_v4() ? "{}:{}" : "[{}]:{}";
  return fmt::format(fmt::runtime(form), address.to_string(), port);
}

Result<Fd> open_socket(const std::string& protocol, const IpAddress& address) {
  int family = address.is_v4() ? AF_INET : AF_INET6;
  if (protocol == "sctp") {
    Fd fd(socket(family, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_SCTP));
    if (!fd)  // the kernel has no SCTP
      return make_error(Code::internal, "Error starting userland proxy: protocol not supported");
    return fd;
  }
  int type = protocol == "udp" ? SOCK_DGRAM : SOCK_STREAM;
  Fd fd(socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return errno_error(errno, "opening a socket");
  return fd;
}

Result<Fd> bind_port(const std::string& protocol, const IpAddress& address, std::uint16_t port) {
  LAB_TRY(Fd fd, open_socket(protocol, address));
  int on = 1;
  if (address.is_v6()) setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
  // What an earlier holder of the port has left in TIME_WAIT does not matter: nobody listens here.
  if (protocol == "tcp") setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_storage name = socket_address(address, port);
  socklen_t size = address.is_v4() ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
  if (bind(fd.get(), reinterpret_cast<sockaddr*>(&name), size) != 0) {
    return make_error(Code::internal, "Error starting userland proxy: listen {}{} {}: bind: {}",
                      protocol, address.is_v4() ? 4 : 6, place(address, port), bind_failure(errno));
  }
  return fd;
}

}  // namespace

bool PortRegistry::taken(const Key& key) const {
  const auto& [protocol, address, port] = key;
  for (const auto& [held, fd] : held_) {
    const auto& [held_protocol, held_address, held_port] = held;
    if (held_protocol == protocol && held_port == port && held_address.is_v4() == address.is_v4() &&
        (held_address == address || held_address.is_unspecified() || address.is_unspecified()))
      return true;
  }
  return false;
}

Result<void> PortRegistry::take(const std::string& protocol, const IpAddress& address,
                                std::uint16_t port) {
  Key key{protocol, address, port};
  if (taken(key)) {
    return make_error(Code::internal, "Bind for {}:{} failed: port is already allocated",
                      address.to_string(), port);
  }
  LAB_TRY(Fd fd, bind_port(protocol, address, port));
  held_.emplace(std::move(key), std::move(fd));
  return {};
}

Result<std::uint16_t> PortRegistry::take_any(const std::string& protocol, const IpAddress& address,
                                             std::uint16_t first, std::uint16_t last) {
  bool dynamic = first == 0;
  if (dynamic) std::tie(first, last) = dynamic_range();
  std::uint16_t& next = next_dynamic_[address];
  int count = last - first + 1;
  int start = dynamic && next >= first ? next - first : 0;
  for (int step = 0; step < count; ++step) {
    auto port = static_cast<std::uint16_t>(first + (start + step) % count);
    if (taken({protocol, address, port})) continue;
    Result<void> got = take(protocol, address, port);
    if (!got) {
      if (first == last) return std::move(got).error();
      continue;
    }
    if (dynamic) next = static_cast<std::uint16_t>(port == last ? first : port + 1);
    return port;
  }
  if (first == last) {
    return make_error(Code::internal, "Bind for {}:{} failed: port is already allocated",
                      address.to_string(), first);
  }
  return make_error(Code::internal, "all ports are allocated");
}

void PortRegistry::adopt(const std::string& protocol, const IpAddress& address,
                         std::uint16_t port) {
  if (Result<void> taken = take(protocol, address, port); !taken) {
    log::warning("port {}/{} of a running container: {}", port, protocol, taken.error().message);
    held_.emplace(Key{protocol, address, port}, Fd());
  }
}

void PortRegistry::give_back(const std::string& protocol, const IpAddress& address,
                             std::uint16_t port) {
  held_.erase(Key{protocol, address, port});
}

Fd PortRegistry::socket_of(const std::string& protocol, const IpAddress& address,
                           std::uint16_t port) const {
  auto found = held_.find(Key{protocol, address, port});
  if (found == held_.end() || !found->second) return {};
  return Fd(fcntl(found->second.get(), F_DUPFD_CLOEXEC, 0));
}

bool can_bind_ipv6() {
  return static_cast<bool>(bind_port("tcp", boost::asio::ip::address_v6::any(), 0));
}

}  // namespace lab::engine::network
