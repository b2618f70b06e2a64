#include "engine/network/dns/sockets.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>

#include "engine/network/nft_batch.hpp"

namespace lab::engine::network::dns {

namespace {

constexpr int backlog = 64;
constexpr int port_attempts_max = 16;
constexpr const char* table = "engined";

sockaddr_in socket_address(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(server_address().to_v4().to_uint());
  address.sin_port = htons(port);
  return address;
}

Result<Fd> open_bound(int type, std::uint16_t port) {
  Fd fd(socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return errno_error(errno, "opening a socket for the name server");
  sockaddr_in address = socket_address(port);
  if (bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
    return errno_error(errno, fmt::format("binding {}:{}", server_address().to_string(), port));
  return fd;
}

std::optional<sockaddr_in> name_of(int fd) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0 ||
      address.ss_family != AF_INET)
    return std::nullopt;
  return reinterpret_cast<sockaddr_in&>(address);
}

int type_of(int fd) {
  int type = 0;
  socklen_t size = sizeof type;
  return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 ? type : 0;
}

// The process's descriptor, when it is a socket bound to the server's address.
Fd take_server_socket(const Fd& process, int number) {
  Fd copy(static_cast<int>(syscall(SYS_pidfd_getfd, process.get(), number, 0U)));
  if (!copy) return {};
  std::optional<sockaddr_in> name = name_of(copy.get());
  if (!name || name->sin_addr.s_addr != socket_address(0).sin_addr.s_addr) return {};
  return copy;
}

}  // namespace

const IpAddress& server_address() {
  static const IpAddress address = boost::asio::ip::make_address("127.0.0.11");
  return address;
}

Result<Sockets> open_sockets() {
  for (int attempt = 1;; ++attempt) {
    Sockets sockets;
    LAB_TRY(sockets.udp, open_bound(SOCK_DGRAM, 0));
    std::optional<sockaddr_in> name = name_of(sockets.udp.get());
    if (!name) return errno_error(errno, "reading the port of the name server");
    Result<Fd> tcp = open_bound(SOCK_STREAM, ntohs(name->sin_port));
    if (!tcp && attempt < port_attempts_max) continue;
    if (!tcp) return std::move(tcp).error();
    sockets.tcp = std::move(*tcp);
    if (listen(sockets.tcp.get(), backlog) != 0)
      return errno_error(errno, "listening for the name server");
    NftBatch batch(NftFamily::ipv4, table);
    batch.redirect_names(server_address(), ntohs(name->sin_port));
    LAB_CHECK(batch.commit());
    return sockets;
  }
}

std::optional<Sockets> recover_sockets(pid_t holder) {
  Fd process(static_cast<int>(syscall(SYS_pidfd_open, holder, 0U)));
  if (!process) return std::nullopt;
  Sockets sockets;
  std::error_code ignored;
  std::filesystem::path folder = fmt::format("/proc/{}/fd", holder);
  for (const auto& entry : std::filesystem::directory_iterator(folder, ignored)) {
    std::string name = entry.path().filename().string();
    int number = -1;
    std::from_chars(name.data(), name.data() + name.size(), number);
    std::string target = std::filesystem::read_symlink(entry.path(), ignored).string();
    if (!target.starts_with("socket:")) continue;
    Fd copy = take_server_socket(process, number);
    if (!copy) continue;
    if (type_of(copy.get()) == SOCK_DGRAM)
      sockets.udp = std::move(copy);
    else if (type_of(copy.get()) == SOCK_STREAM)
      sockets.tcp = std::move(copy);
  }
  if (!sockets.udp || !sockets.tcp) return std::nullopt;
  return sockets;
}

}  // namespace lab::engine::network::dns
