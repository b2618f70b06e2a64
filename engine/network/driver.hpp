// What makes networks of one kind real. Docker's local drivers are here: bridge, host and null. A
// driver knows nothing of names, addresses in use or published ports: those are the same for all.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "engine/network/network.hpp"

namespace lab::engine::network {

class Driver {
 public:
  virtual ~Driver() = default;

  // Reads the network's options into its fields; refuses what the driver cannot do, and what
  // clashes with one of `others`. Also for networks that exist, at each start of the engine.
  [[nodiscard]] virtual Result<void> configure(Network& network,
                                               const std::vector<const Network*>& others) const = 0;
  // Containers on it have addresses, so such a network has subnets.
  [[nodiscard]] virtual bool has_addresses() const = 0;

  // Makes what the network needs on this host, or finds it there. What a `fresh` network finds is
  // somebody else's, and stays when the network goes. Blocks.
  [[nodiscard]] virtual Result<void> set_up(Network& network, bool fresh) const = 0;
  virtual void take_down(const Network& network) const = 0;
  // The endpoint's interface in the sandbox's namespace: there, with its addresses, up. Blocks.
  [[nodiscard]] virtual Result<void> join(const Network& network, const Sandbox& sandbox,
                                          const Endpoint& endpoint) const = 0;
  // Takes it out of a sandbox that lives on; with the namespace it goes by itself. Blocks.
  virtual void leave(const Network& network, const Endpoint& endpoint) const = 0;
};

using Drivers = std::map<std::string, std::unique_ptr<Driver>, std::less<>>;
[[nodiscard]] Drivers make_drivers();

[[nodiscard]] std::unique_ptr<Driver> make_bridge_driver();

}  // namespace lab::engine::network
