// Networks, the addresses and host ports on them, and the sandbox (network namespace with its
// interfaces) of each container. Reservation works on memory; building and tearing down call the
// kernel and block, so they belong on the pool.
#pragma once

#include <boost/json/object.hpp>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "base/error.hpp"
#include "engine/network/nat.hpp"
#include "engine/network/netlink.hpp"
#include "engine/network/ports.hpp"
#include "engine/state/document_store.hpp"

namespace lab::engine::network {

struct Network {
  std::string id;
  std::string name;
  std::string driver;  // "bridge", "host" or "null"
  std::string created;
  std::string interface;      // the bridge device
  std::uint32_t subnet = 0;   // host byte order
  std::uint32_t gateway = 0;  // the bridge's own address
  int prefix = 0;
  int mtu = 1500;
  boost::json::object options;
  boost::json::object labels;

  [[nodiscard]] std::string subnet_text() const;
};

// A container's place on one network.
struct Endpoint {
  std::string id;
  std::string network_id;
  std::string network_name;
  std::string host_interface;  // "veth1a2b3c4d"; empty on networks without one
  std::string container_interface;
  std::uint32_t address = 0;
  std::uint32_t gateway = 0;
  int prefix = 0;
  MacAddress mac{};
};

struct Sandbox {
  std::string id;
  std::filesystem::path key;  // the namespace's file; empty: the host's namespace
  std::vector<Endpoint> endpoints;
  std::vector<PortMapping> ports;
};

[[nodiscard]] boost::json::object to_json(const Sandbox& sandbox);
[[nodiscard]] Sandbox sandbox_from_json(const boost::json::object& document);
// As NetworkSettings.Networks.NAME shows it; all empty without an endpoint.
[[nodiscard]] boost::json::object endpoint_settings(const Endpoint& endpoint);

struct PortRequest {
  std::string protocol = "tcp";
  std::uint16_t container_port = 0;
  std::string host_address;           // empty: all
  std::uint16_t host_port_first = 0;  // 0: any free one
  std::uint16_t host_port_last = 0;
};

struct SandboxRequest {
  std::string container_name;
  std::string network;                   // "bridge", "none", "host"
  std::optional<std::uint32_t> address;  // a wish
  std::optional<MacAddress> mac;
  std::vector<PortRequest> ports;
};

class Networks {
 public:
  struct Options {
    std::filesystem::path exec_root;
    std::string bip = "172.17.0.1/16";
    int mtu = 1500;
  };
  Networks(Options options, DocumentStore& store, const Clock& clock)
      : options_(std::move(options)), store_(store), clock_(clock) {}

  // Reads the networks, makes bridges and rules. `live` are the sandboxes of running containers:
  // their addresses and ports are claimed, and every other sandbox or interface of ours is removed.
  [[nodiscard]] Result<void> start(const std::vector<const Sandbox*>& live);

  // By full name, full id or an unambiguous start of an id; null without one.
  [[nodiscard]] const Network* find(std::string_view name_or_id) const;
  [[nodiscard]] std::vector<const Network*> list() const;

  [[nodiscard]] Result<Sandbox> reserve(const SandboxRequest& request);
  // Blocks. On failure nothing is left but the reservation.
  [[nodiscard]] Result<void> build(const Sandbox& sandbox);
  // Blocks. Errors are logged: there is nobody to tell.
  void tear_down(const Sandbox& sandbox);
  void release(const Sandbox& sandbox);

 private:
  [[nodiscard]] Result<void> load();
  [[nodiscard]] Result<void> load_default_bridge();
  [[nodiscard]] Result<void> add_predefined(const std::string& name, const std::string& driver);
  [[nodiscard]] Result<void> set_up_bridge(const Network& network);
  void remove_stale(const std::vector<const Sandbox*>& live);
  [[nodiscard]] Result<Endpoint> reserve_endpoint(const Network& network,
                                                  const SandboxRequest& request);
  [[nodiscard]] Result<void> reserve_ports(Sandbox& sandbox, const SandboxRequest& request);
  [[nodiscard]] Result<void> build_endpoint(const Sandbox& sandbox, const Endpoint& endpoint);
  [[nodiscard]] std::filesystem::path sandbox_folder() const {
    return options_.exec_root / "netns";
  }

  Options options_;
  DocumentStore& store_;
  const Clock& clock_;
  std::map<std::string, Network> networks_;                        // by name
  std::map<std::string, std::set<std::uint32_t>> used_addresses_;  // by network id
  PortRegistry ports_;
  Nat nat_;
};

}  // namespace lab::engine::network
