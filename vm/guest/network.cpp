#include "vm/guest/network.hpp"

#include <arpa/inet.h>
#include <net/if.h>
#include <net/route.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "vm/guest/say.hpp"

namespace lab::guest {
namespace {

sockaddr ipv4(const char* text) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  inet_pton(AF_INET, text, &address.sin_addr);
  sockaddr result;
  std::memcpy(&result, &address, sizeof result);
  return result;
}

bool set_up(int fd, ifreq& request) {
  if (ioctl(fd, SIOCGIFFLAGS, &request) != 0) return false;
  request.ifr_flags = static_cast<short>(request.ifr_flags | IFF_UP);
  return ioctl(fd, SIOCSIFFLAGS, &request) == 0;
}

// The NIC that has this name already, else the one with this MAC. Fills request.ifr_name.
bool find_nic(int fd, const unsigned (&mac)[6], const char* name, ifreq& request) {
  std::snprintf(request.ifr_name, IFNAMSIZ, "%s", name);
  if (ioctl(fd, SIOCGIFINDEX, &request) == 0) return true;
  bool found = false;
  struct if_nameindex* all = if_nameindex();
  for (struct if_nameindex* one = all; one && one->if_index != 0 && !found; ++one) {
    std::snprintf(request.ifr_name, IFNAMSIZ, "%s", one->if_name);
    if (ioctl(fd, SIOCGIFHWADDR, &request) != 0) continue;
    found = true;
    for (int i = 0; i < 6; ++i)
      found = found && static_cast<unsigned char>(request.ifr_hwaddr.sa_data[i]) == mac[i];
  }
  if_freenameindex(all);
  if (!found) errno = ENODEV;
  return found;
}

// Gives the NIC its name and its MAC.
bool identify_nic(int fd, const char* mac, const char* name, ifreq& request) {
  unsigned bytes[6];
  if (std::sscanf(mac, "%x:%x:%x:%x:%x:%x", bytes, bytes + 1, bytes + 2, bytes + 3, bytes + 4,
                  bytes + 5) != 6)
    return false;
  if (!find_nic(fd, bytes, name, request)) return false;
  if (std::strcmp(request.ifr_name, name) != 0) {
    std::snprintf(request.ifr_newname, IFNAMSIZ, "%s", name);
    if (ioctl(fd, SIOCSIFNAME, &request) != 0) return false;
    std::snprintf(request.ifr_name, IFNAMSIZ, "%s", name);
  }
  if (ioctl(fd, SIOCGIFHWADDR, &request) != 0) return false;
  for (int i = 0; i < 6; ++i) request.ifr_hwaddr.sa_data[i] = static_cast<char>(bytes[i]);
  return ioctl(fd, SIOCSIFHWADDR, &request) == 0;
}

bool set_address(int fd, char* address, ifreq& request) {
  char* slash = std::strchr(address, '/');
  const int prefix = slash ? std::atoi(slash + 1) : 32;
  if (slash) *slash = 0;
  request.ifr_addr = ipv4(address);
  if (ioctl(fd, SIOCSIFADDR, &request) != 0) return false;
  const std::uint32_t mask = prefix == 0 ? 0 : htonl(~std::uint32_t{0} << (32 - prefix));
  request.ifr_netmask = ipv4("0.0.0.0");
  std::memcpy(request.ifr_netmask.sa_data + 2, &mask, sizeof mask);
  return ioctl(fd, SIOCSIFNETMASK, &request) == 0 && set_up(fd, request);
}

bool set_default_route(int fd, const char* gateway) {
  rtentry route{};
  route.rt_dst = ipv4("0.0.0.0");
  route.rt_genmask = ipv4("0.0.0.0");
  route.rt_gateway = ipv4(gateway);
  route.rt_flags = RTF_UP | RTF_GATEWAY;
  return ioctl(fd, SIOCADDRT, &route) == 0;
}

// `address` and `gateway` may be null.
bool configure_nic(int fd, const char* mac, const char* name, char* address, const char* gateway) {
  ifreq request{};
  return identify_nic(fd, mac, name, request) &&
         (address == nullptr || set_address(fd, address, request)) &&
         (gateway == nullptr || set_default_route(fd, gateway));
}

}  // namespace

void configure_network(char* config) {
  const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  ifreq loopback{};
  std::snprintf(loopback.ifr_name, IFNAMSIZ, "lo");
  if (!set_up(fd, loopback)) say("loopback: %s", std::strerror(errno));
  char* rest = nullptr;
  for (char* line = strtok_r(config, "\n", &rest); line; line = strtok_r(nullptr, "\n", &rest)) {
    char* words = nullptr;
    const char* keyword = strtok_r(line, " ", &words);
    if (keyword == nullptr || std::strcmp(keyword, "nic") != 0) continue;
    const char* mac = strtok_r(nullptr, " ", &words);
    const char* name = strtok_r(nullptr, " ", &words);
    char* address = strtok_r(nullptr, " ", &words);
    const char* gateway = strtok_r(nullptr, " ", &words);
    if (mac == nullptr || name == nullptr || !configure_nic(fd, mac, name, address, gateway))
      say("network interface %s: %s", name ? name : "?", std::strerror(errno));
  }
  close(fd);
  // vm/console.cpp waits for this line.
  say("%s", "the network is configured");
}

}  // namespace lab::guest
