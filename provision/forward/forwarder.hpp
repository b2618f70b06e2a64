// Ports of this host that lead to ports of the lab's machines, for a browser or a client here:
// 127.0.0.1:8080 -> vm1:80. Streams both ways, any number of connections at once; the end of one
// direction leaves the other open, and a reset is passed on as one. Does not touch the lab's
// network: partitions and link qualities are between machines.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/error.hpp"

namespace lab::provision {

struct Forward {
  std::uint16_t host_port = 0;  // on 127.0.0.1
  std::string machine;
  std::uint16_t port = 0;  // of the machine
  bool operator==(const Forward&) const = default;
};

// Code::conflict, for a host port that another program listens on.
[[nodiscard]] Error port_taken(const Forward& forward);

struct ForwardReport {
  Forward forward;
  std::uint32_t open = 0;         // connections that live
  std::uint64_t connections = 0;  // taken since it listens
  std::uint64_t bytes_in = 0;     // to the machine
  std::uint64_t bytes_out = 0;    // from the machine
  std::string problem;            // of the newest connection; empty when its machine took it
};

class Forwarder {
 public:
  struct Way {
    std::string address;
    std::uint16_t port = 0;
  };
  // How a machine's port is reached from this host. The answer is used until nobody listens there
  // any more.
  using FindWay = std::function<boost::asio::awaitable<Result<Way>>(Forward forward)>;

  Forwarder(boost::asio::any_io_executor executor, FindWay find_way);
  Forwarder(const Forwarder&) = delete;
  Forwarder& operator=(const Forwarder&) = delete;
  ~Forwarder();  // as stop()

  // From now on exactly these; their host ports differ. Code::conflict for a port that another
  // program has: then nothing has changed. Connections of those that are gone live on.
  [[nodiscard]] Result<void> set(const std::vector<Forward>& forwards);

  // In the order of set().
  [[nodiscard]] std::vector<ForwardReport> report() const;

  // Closes everything.
  void stop();

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace lab::provision
