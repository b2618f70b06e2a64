// What nftables cannot translate of published ports: IPv6 to containers that have only IPv4, and
// ::1, which the kernel keeps on the loopback device (for 127.0.0.1 there is route_localnet). Those
// are accepted here and carried to the container. Everything else is translated, which costs
// nothing per packet and outlives this process; connections through a relay end with the engine,
// and begin again when it is back. On the event loop's thread.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <map>
#include <memory>
#include <string>
#include <tuple>

#include "base/file.hpp"
#include "engine/network/firewall.hpp"
#include "engine/util/async.hpp"

namespace lab::engine::network {

// Whether a relay carries it.
[[nodiscard]] bool needs_relay(const PortMapping& port);

class Relays {
 public:
  explicit Relays(const boost::asio::any_io_executor& executor) : background_(executor) {}
  ~Relays();

  // `socket` is bound to the host's address and port.
  void start(const PortMapping& port, Fd socket);
  void stop(const PortMapping& port);

 private:
  struct Relay;
  using RelayPtr = std::shared_ptr<Relay>;
  using Key = std::tuple<std::string, IpAddress, std::uint16_t>;

  [[nodiscard]] boost::asio::awaitable<void> accept_streams(RelayPtr relay);
  [[nodiscard]] boost::asio::awaitable<void> carry_datagrams(RelayPtr relay);

  Background background_;
  std::map<Key, RelayPtr> relays_;
};

}  // namespace lab::engine::network
