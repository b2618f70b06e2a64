#include "engine/network/ports.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <charconv>

#include "base/log.hpp"
#include "engine/network/netlink.hpp"

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

Result<Fd> bind_port(const std::string& protocol, std::uint32_t address, std::uint16_t port) {
  int type = protocol == "udp" ? SOCK_DGRAM : SOCK_STREAM;
  Fd fd(socket(AF_INET, type | SOCK_CLOEXEC, 0));
  if (!fd) return errno_error(errno, "opening a socket");
  sockaddr_in name{};
  name.sin_family = AF_INET;
  name.sin_addr.s_addr = htonl(address);
  name.sin_port = htons(port);
  if (bind(fd.get(), reinterpret_cast<sockaddr*>(&name), sizeof name) != 0) {
    const char* reason = errno == EADDRINUSE      ? "address already in use"
                         : errno == EADDRNOTAVAIL ? "cannot assign requested address"
                         : errno == EACCES        ? "permission denied"
                                                  : "cannot bind";
    return make_error(Code::internal,
                      "Error starting userland proxy: listen {0}4 {1}:{2}: bind: {3}", protocol,
                      format_ipv4(address), port, reason);
  }
  // Without a listener no connection of the host itself can end up here.
  return fd;
}

}  // namespace

bool PortRegistry::taken(const Key& key) const {
  const auto& [protocol, address, port] = key;
  for (const auto& [held, fd] : held_) {
    const auto& [held_protocol, held_address, held_port] = held;
    if (held_protocol == protocol && held_port == port &&
        (held_address == address || held_address == 0 || address == 0))
      return true;
  }
  return false;
}

Result<void> PortRegistry::take(const std::string& protocol, std::uint32_t address,
                                std::uint16_t port) {
  Key key{protocol, address, port};
  if (taken(key)) {
    return make_error(Code::internal, "Bind for {}:{} failed: port is already allocated",
                      format_ipv4(address), port);
  }
  LAB_TRY(Fd fd, bind_port(protocol, address, port));
  held_.emplace(std::move(key), std::move(fd));
  return {};
}

Result<std::uint16_t> PortRegistry::take_any(const std::string& protocol, std::uint32_t address,
                                             std::uint16_t first, std::uint16_t last) {
  bool dynamic = first == 0;
  if (dynamic) std::tie(first, last) = dynamic_range();
  int count = last - first + 1;
  int start = dynamic && next_dynamic_ >= first ? next_dynamic_ - first : 0;
  for (int step = 0; step < count; ++step) {
    auto port = static_cast<std::uint16_t>(first + (start + step) % count);
    if (taken({protocol, address, port})) continue;
    Result<void> got = take(protocol, address, port);
    if (!got) {
      if (first == last) return std::move(got).error();
      continue;
    }
    if (dynamic) next_dynamic_ = static_cast<std::uint16_t>(port == last ? first : port + 1);
    return port;
  }
  if (first == last) {
    return make_error(Code::internal, "Bind for {}:{} failed: port is already allocated",
                      format_ipv4(address), first);
  }
  return make_error(Code::internal, "all ports are allocated");
}

void PortRegistry::adopt(const std::string& protocol, std::uint32_t address, std::uint16_t port) {
  if (Result<void> taken = take(protocol, address, port); !taken) {
    log::warning("port {}/{} of a running container: {}", port, protocol, taken.error().message);
    held_.emplace(Key{protocol, address, port}, Fd());
  }
}

void PortRegistry::give_back(const std::string& protocol, std::uint32_t address,
                             std::uint16_t port) {
  held_.erase(Key{protocol, address, port});
}

}  // namespace lab::engine::network
