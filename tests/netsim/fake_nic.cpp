#include "tests/netsim/fake_nic.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <stdexcept>
#include <utility>

namespace lab::netsim {

namespace {

sockaddr_in loopback(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

std::pair<Fd, std::uint16_t> bound_socket(std::uint16_t port) {
  Fd fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_in address = loopback(port);
  socklen_t length = sizeof address;
  if (bind(fd.get(), reinterpret_cast<sockaddr*>(&address), length) != 0 ||
      getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &length) != 0) {
    throw std::runtime_error("no free port");
  }
  return {std::move(fd), ntohs(address.sin_port)};
}

}  // namespace

FakeNic::FakeNic(std::string machine, unsigned number)
    : machine_(std::move(machine)), number_(number) {
  std::tie(fd_, nic_port_) = bound_socket(0);
  switch_port_ = bound_socket(0).second;
}

void FakeNic::plug() { fd_ = bound_socket(nic_port_).first; }

std::string FakeNic::mac() const {
  return std::string("\x52\x54\x00\x00\x00", 5) + static_cast<char>(number_);
}

void FakeNic::send(const FakeNic* to, const std::string& payload) const {
  const std::string target = to == nullptr ? std::string(6, '\xff') : to->mac();
  send_raw(target + mac() + std::string("\x08\x00", 2) + payload);
}

void FakeNic::send_raw(const std::string& bytes) const {
  const sockaddr_in address = loopback(switch_port_);
  if (sendto(fd_.get(), bytes.data(), bytes.size(), 0, reinterpret_cast<const sockaddr*>(&address),
             sizeof address) < 0) {
    throw std::runtime_error("sendto failed");
  }
}

std::optional<std::string> FakeNic::receive(int timeout_ms) const {
  pollfd waiting{fd_.get(), POLLIN, 0};
  if (poll(&waiting, 1, timeout_ms) != 1) return std::nullopt;
  std::array<char, 16384> buffer;
  const ssize_t size = recv(fd_.get(), buffer.data(), buffer.size(), 0);
  if (size < 14) return std::nullopt;
  return std::string(buffer.data() + 14, static_cast<std::size_t>(size) - 14);
}

}  // namespace lab::netsim
