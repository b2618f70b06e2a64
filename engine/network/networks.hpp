// All networks of the engine, the addresses and host ports on them, and the sandboxes of
// containers. On the event loop's thread, except what says that it blocks: that calls the kernel
// and belongs on the pool.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/json/object.hpp>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "base/error.hpp"
#include "engine/network/dns/server.hpp"
#include "engine/network/driver.hpp"
#include "engine/network/firewall.hpp"
#include "engine/network/network.hpp"
#include "engine/network/ports.hpp"
#include "engine/network/relay.hpp"
#include "engine/state/document_store.hpp"
#include "engine/util/async.hpp"

namespace lab::engine::network {

using NetworkPtr = std::shared_ptr<const Network>;

// POST /networks/create.
struct CreateRequest {
  std::string name;
  std::string driver;  // empty: "bridge"
  bool check_duplicate = false;
  bool ipv6 = false;
  bool internal = false;
  bool attachable = false;
  bool ingress = false;
  std::string scope;
  bool config_only = false;
  std::string config_from;
  boost::json::object ipam;
  boost::json::object options;
  boost::json::object labels;
};
struct Created {
  std::string id;
  std::string warning;
};

struct PortRequest {
  std::string protocol = "tcp";
  std::uint16_t container_port = 0;
  std::string host_address;           // empty: all, of both families
  std::uint16_t host_port_first = 0;  // 0: any free one
  std::uint16_t host_port_last = 0;
};

// What a container wishes of one network: the API's EndpointSettings.
struct EndpointRequest {
  std::string network;  // name or id
  boost::json::object settings;
  std::string mac;  // empty: derived from the address
};

struct SandboxRequest {
  std::string container_id;
  std::string container_name;
  bool name_generated = false;  // then others don't find it under its name
  std::vector<EndpointRequest> endpoints;
  std::vector<PortRequest> ports;
  std::vector<std::string> name_servers;
  bool forwards_single_labels = true;
};

// A running container's sandbox, and the process that holds its name server's sockets.
struct LiveSandbox {
  const Sandbox* sandbox = nullptr;
  pid_t monitor = 0;
};

// Docker's rules of what may be asked of which network.
[[nodiscard]] Result<void> check_wishes(const Network& network,
                                        const boost::json::object& settings);

class Networks {
 public:
  struct Options {
    std::filesystem::path exec_root;
    std::string bip = "172.17.0.1/16";
    int mtu = 1500;
  };
  Networks(const boost::asio::any_io_executor& executor, Options options, DocumentStore& store,
           const Clock& clock);

  // Reads the networks, makes devices and rules, goes on serving names. The addresses and ports of
  // `live` are claimed, and every other sandbox or interface of ours is removed.
  [[nodiscard]] boost::asio::awaitable<Result<void>> start(std::vector<LiveSandbox> live);

  // By full id, full name or an unambiguous start of an id. "network x not found". Any thread.
  [[nodiscard]] Result<NetworkPtr> find(std::string_view term) const;
  // By name, then id.
  [[nodiscard]] std::vector<NetworkPtr> list() const;
  [[nodiscard]] bool has_endpoints(const Network& network) const;

  [[nodiscard]] boost::asio::awaitable<Result<Created>> create(CreateRequest request);
  // The predefined ones, and those with endpoints: Code::forbidden.
  [[nodiscard]] boost::asio::awaitable<Result<void>> remove(NetworkPtr network);

  // New ids for the predefined networks that no container is on, and a new address for the bridge.
  [[nodiscard]] boost::asio::awaitable<Result<void>> renew_predefined();

  // Takes addresses and ports; names are known from here on.
  [[nodiscard]] Result<Sandbox> reserve(const SandboxRequest& request);
  // Gives all of it back.
  void release(const Sandbox& sandbox);
  // Blocks. Makes the namespace, with nothing but loopback in it. The sockets are for serve();
  // without descriptors when no network of the sandbox serves names. What a failure leaves is for
  // tear_down().
  [[nodiscard]] Result<dns::Sockets> build(const Sandbox& sandbox) const;
  // Blocks. Interfaces, routes and published ports of what build() made.
  [[nodiscard]] Result<void> plug_in(const Sandbox& sandbox);
  void serve(const Sandbox& sandbox, dns::Sockets sockets);
  // The container has another name: others find it under that.
  void rename(Sandbox& sandbox, const std::string& from, const std::string& to);
  // Blocks. Errors are logged: there is nobody to tell.
  void tear_down(const Sandbox& sandbox);

  // How the host's namespace is called where sandboxes are named by their file.
  [[nodiscard]] std::filesystem::path host_key() const { return sandbox_folder() / "default"; }

  // One more network for a sandbox that is built, one less. The container's way out, and with it
  // the published ports, may move to another network.
  [[nodiscard]] boost::asio::awaitable<Result<void>> connect(Sandbox& sandbox,
                                                             SandboxRequest request);
  [[nodiscard]] boost::asio::awaitable<Result<void>> disconnect(Sandbox& sandbox,
                                                                std::string network_id);

 private:
  struct Pools {
    AddressPool ipv4;
    AddressPool ipv6;
    int endpoints = 0;
  };

  // networks.cpp
  // Gives the networks whose removal a crash interrupted.
  [[nodiscard]] Result<std::vector<Network>> load();
  [[nodiscard]] Result<void> finish_removal(const Network& network) const;
  [[nodiscard]] Result<void> add_predefined(const std::string& name, const std::string& driver);
  [[nodiscard]] Result<void> complete_default_bridge(Network& bridge) const;
  void open_pools(const Network& network);
  [[nodiscard]] std::vector<FirewallBridge> firewall_bridges() const;
  [[nodiscard]] NetworkPtr by_id(const std::string& id) const;
  void insert(Network network);
  [[nodiscard]] Driver& driver_of(const Network& network) const;
  void adopt(const Sandbox& sandbox);
  [[nodiscard]] std::filesystem::path sandbox_folder() const {
    return options_.exec_root / "netns";
  }

  // create.cpp
  [[nodiscard]] Result<std::string> check_name(const CreateRequest& request) const;
  [[nodiscard]] Result<void> apply_configuration(CreateRequest& request) const;
  [[nodiscard]] Result<void> assign_subnets(Network& network, const CreateRequest& request) const;
  [[nodiscard]] Result<Network> prepare(const CreateRequest& request) const;
  [[nodiscard]] std::vector<const Network*> networks_of(const std::string& driver) const;
  [[nodiscard]] std::vector<Subnet> taken_subnets(bool of_host) const;

  // sandboxes.cpp
  [[nodiscard]] Result<Endpoint> reserve_endpoint(const SandboxRequest& request,
                                                  const EndpointRequest& wanted);
  [[nodiscard]] Result<void> reserve_addresses(Endpoint& endpoint, const Network& network,
                                               const boost::json::object& settings);
  void release_endpoint(const Endpoint& endpoint);
  [[nodiscard]] Result<void> reserve_ports(Sandbox& sandbox, const SandboxRequest& request);
  [[nodiscard]] Result<void> reserve_port(Sandbox& sandbox, const PortRequest& request,
                                          const Endpoint& gateway);
  [[nodiscard]] Result<void> join(const Sandbox& sandbox, const Endpoint& endpoint) const;
  void move_ports(Sandbox& sandbox) const;
  void start_relays(const Sandbox& sandbox);

  boost::asio::any_io_executor executor_;
  Options options_;
  DocumentStore& store_;
  const Clock& clock_;
  Drivers drivers_;
  mutable std::mutex mutex_;                    // of networks_
  std::map<std::string, NetworkPtr> networks_;  // by id
  std::map<std::string, Pools> pools_;          // by network id
  AsyncMutex changing_;                         // one network is made or removed at a time
  PortRegistry ports_;
  Firewall firewall_;
  dns::NameTable names_;
  dns::Server name_server_;
  Relays relays_;
};

}  // namespace lab::engine::network
