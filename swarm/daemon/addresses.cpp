#include "swarm/daemon/addresses.hpp"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <sys/socket.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/ip/udp.hpp>
#include <memory>

#include "swarm/transport/peer_transport.hpp"

namespace lab::swarm::daemon {

namespace asio = boost::asio;

namespace {

constexpr const char* bad_listen =
    "listen address must be an IP address or network interface (with optional port number)";
constexpr const char* bad_advertise =
    "advertise address must be a non-zero IP address or network interface (with optional port "
    "number)";

Error invalid(std::string text) { return Error{Code::invalid_argument, std::move(text)}; }

bool is_address(const std::string& text) {
  boost::system::error_code error;
  asio::ip::make_address(text, error);
  return !error;
}

bool is_unspecified(const std::string& text) {
  boost::system::error_code error;
  asio::ip::address address = asio::ip::make_address(text, error);
  return !error && address.is_unspecified();
}

// HOST, HOST:PORT or [HOST]:PORT; an IPv6 address without brackets is a host.
transport::HostPort split(const std::string& text, std::uint16_t default_port) {
  if (!is_address(text)) {
    if (Result<transport::HostPort> both = transport::parse_address(text)) return *both;
  }
  return {.host = text, .port = default_port};
}

// The only address of an interface, IPv4 before IPv6.
Result<std::string> address_of_interface(const std::string& name,
                                         const std::vector<InterfaceAddress>& system) {
  for (bool ipv6 : {false, true}) {
    std::string found;
    for (const InterfaceAddress& candidate : system) {
      if (candidate.interface != name || candidate.ipv6 != ipv6) continue;
      if (ipv6 && candidate.address.starts_with("fe80:")) continue;
      if (!found.empty()) {
        return invalid(fmt::format("interface {} has more than one {} address ({} and {})", name,
                                   ipv6 ? "IPv6" : "IPv4", found, candidate.address));
      }
      found = candidate.address;
    }
    if (!found.empty()) return found;
  }
  return invalid(fmt::format("interface {} has no usable IPv4 or IPv6 address", name));
}

bool is_interface(const std::string& name, const std::vector<InterfaceAddress>& system) {
  return std::any_of(system.begin(), system.end(),
                     [&](const InterfaceAddress& one) { return one.interface == name; });
}

// Bridges of container engines are not what a node is reached by.
bool may_be_advertised(const InterfaceAddress& candidate) {
  return !candidate.loopback && !candidate.ipv6 && !candidate.interface.starts_with("docker") &&
         !candidate.interface.starts_with("br-");
}

Result<std::string> only_system_address(const std::vector<InterfaceAddress>& system) {
  const InterfaceAddress* found = nullptr;
  for (const InterfaceAddress& candidate : system) {
    if (!may_be_advertised(candidate)) continue;
    if (found == nullptr) {
      found = &candidate;
    } else if (found->interface == candidate.interface) {
      return invalid(
          fmt::format("could not choose an IP address to advertise since this system has multiple "
                      "addresses on interface {} ({} and {}) - specify one with --advertise-addr",
                      found->interface, found->address, candidate.address));
    } else {
      return invalid(
          fmt::format("could not choose an IP address to advertise since this system has multiple "
                      "addresses on different interfaces ({} on {} and {} on {}) - specify one "
                      "with --advertise-addr",
                      found->address, found->interface, candidate.address, candidate.interface));
    }
  }
  if (found == nullptr)
    return invalid("could not find the system's IP address - specify one with --advertise-addr");
  return found->address;
}

}  // namespace

std::string join_host_port(const std::string& host, std::uint16_t port) {
  return host.find(':') == std::string::npos ? fmt::format("{}:{}", host, port)
                                             : fmt::format("[{}]:{}", host, port);
}

Result<std::vector<InterfaceAddress>> system_addresses() {
  ifaddrs* list = nullptr;
  if (getifaddrs(&list) != 0) return errno_error(errno, "listing network interfaces");
  std::unique_ptr<ifaddrs, decltype(&freeifaddrs)> owner(list, freeifaddrs);
  std::vector<InterfaceAddress> result;
  for (const ifaddrs* entry = list; entry != nullptr; entry = entry->ifa_next) {
    if (entry->ifa_addr == nullptr || (entry->ifa_flags & IFF_UP) == 0) continue;
    int family = entry->ifa_addr->sa_family;
    const void* bytes = nullptr;
    if (family == AF_INET)
      bytes = &reinterpret_cast<const sockaddr_in*>(entry->ifa_addr)->sin_addr;
    else if (family == AF_INET6)
      bytes = &reinterpret_cast<const sockaddr_in6*>(entry->ifa_addr)->sin6_addr;
    else
      continue;
    char text[INET6_ADDRSTRLEN] = {};
    inet_ntop(family, bytes, text, sizeof text);
    result.push_back({.interface = entry->ifa_name,
                      .address = text,
                      .ipv6 = family == AF_INET6,
                      .loopback = (entry->ifa_flags & IFF_LOOPBACK) != 0});
  }
  return result;
}

Result<std::string> resolve_listen_address(const std::string& asked, std::uint16_t default_port,
                                           const std::vector<InterfaceAddress>& system) {
  if (asked.empty()) return invalid("invalid ListenAddr \"\": invalid empty address");
  transport::HostPort parts = split(asked, default_port);
  if (is_address(parts.host)) return join_host_port(parts.host, parts.port);
  if (!is_interface(parts.host, system)) return invalid(bad_listen);
  LAB_TRY(std::string address, address_of_interface(parts.host, system));
  return join_host_port(address, parts.port);
}

Result<std::string> resolve_advertise_address(const std::string& asked, const std::string& listen,
                                              const std::vector<InterfaceAddress>& system) {
  LAB_TRY(transport::HostPort listening, transport::parse_address(listen));
  if (asked.empty()) {
    if (!is_unspecified(listening.host)) return listen;
    LAB_TRY(std::string address, only_system_address(system));
    return join_host_port(address, listening.port);
  }
  transport::HostPort parts = split(asked, listening.port);
  if (is_interface(parts.host, system)) {
    LAB_TRY(parts.host, address_of_interface(parts.host, system));
  } else if (!is_address(parts.host) || is_unspecified(parts.host)) {
    return invalid(bad_advertise);
  }
  bool own = std::any_of(system.begin(), system.end(),
                         [&](const InterfaceAddress& one) { return one.address == parts.host; });
  if (!own && is_unspecified(listening.host) && !only_system_address(system)) {
    return invalid(
        "must specify a listening address because the address to advertise is not recognized as a "
        "system address, and a system's IP address to use could not be uniquely identified");
  }
  return join_host_port(parts.host, parts.port);
}

// Connecting a datagram socket sends nothing; the kernel just chooses the route.
Result<std::string> address_towards(const std::string& remote) {
  LAB_TRY(transport::HostPort target, transport::parse_address(remote));
  asio::io_context io;
  boost::system::error_code error;
  asio::ip::udp::resolver resolver(io);
  auto endpoints = resolver.resolve(target.host, std::to_string(target.port), error);
  if (error || endpoints.empty()) {
    return make_error(Code::unavailable, "cannot resolve {}: {}", target.host, error.message());
  }
  asio::ip::udp::socket socket(io);
  socket.connect(*endpoints.begin(), error);
  if (error) return errno_error(error.value(), fmt::format("finding the way to {}", remote));
  return socket.local_endpoint().address().to_string();
}

}  // namespace lab::swarm::daemon
