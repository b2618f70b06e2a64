#include "engine/network/driver.hpp"

namespace lab::engine::network {

namespace {

// "host" and "null": nothing to make, and one network of each, which is predefined.
class SingleDriver final : public Driver {
 public:
  Result<void> configure(Network& network,
                         const std::vector<const Network*>& /*others*/) const override {
    if (network.predefined || network.config_only) return {};
    return make_error(Code::forbidden, "only one instance of \"{}\" network is allowed",
                      network.driver);
  }
  bool has_addresses() const override { return false; }
  Result<void> set_up(Network& /*network*/, bool /*fresh*/) const override { return {}; }
  void take_down(const Network& /*network*/) const override {}
  Result<void> join(const Network& /*network*/, const Sandbox& /*sandbox*/,
                    const Endpoint& /*endpoint*/) const override {
    return {};
  }
  void leave(const Network& /*network*/, const Endpoint& /*endpoint*/) const override {}
};

}  // namespace

Drivers make_drivers() {
  Drivers drivers;
  drivers["bridge"] = make_bridge_driver();
  drivers["host"] = std::make_unique<SingleDriver>();
  drivers["null"] = std::make_unique<SingleDriver>();
  return drivers;
}

}  // namespace lab::engine::network
