#include "engine/network/networks.hpp"

#include <boost/json/serialize.hpp>
#include <set>

#include "base/blocking.hpp"
#include "base/file.hpp"
#include "base/log.hpp"
#include "base/random.hpp"
#include "engine/network/namespace.hpp"
#include "engine/network/netlink.hpp"
#include "engine/util/json.hpp"

namespace lab::engine::network {

namespace asio = boost::asio;
namespace json = boost::json;

namespace {

constexpr std::string_view kind = "network";
constexpr std::string_view default_bip = "172.17.0.1/16";

FirewallBridge firewall_bridge(const Network& network) {
  FirewallBridge bridge{
      network.interface, {}, network.masquerade, network.inter_container, network.internal};
  for (const IpamConfig* config : {network.ipv4(), network.ipv6_config()}) {
    if (config != nullptr) bridge.subnets.push_back(config->subnet);
  }
  return bridge;
}

// Namespaces and interfaces of containers that are no more. Interfaces are ours when they are on a
// bridge of ours.
void remove_stale(const std::filesystem::path& folder, const std::vector<LiveSandbox>& live,
                  const std::set<std::string>& bridge_names) {
  std::set<std::string> keys;
  std::set<std::string> interfaces;
  for (const LiveSandbox& one : live) {
    keys.insert(one.sandbox->key.string());
    for (const Endpoint& endpoint : one.sandbox->endpoints)
      interfaces.insert(endpoint.host_interface);
  }
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(folder, ignored)) {
    if (!keys.contains(entry.path().string())) remove_namespace(entry.path());
  }
  Result<Netlink> netlink = Netlink::open();
  if (!netlink) return;
  Result<std::vector<Link>> links = netlink->links();
  if (!links) return;
  std::set<int> bridges;
  for (const Link& link : *links) {
    if (bridge_names.contains(link.name)) bridges.insert(link.index);
  }
  for (const Link& link : *links) {
    if (!link.name.starts_with(veth_prefix) || !bridges.contains(link.master)) continue;
    if (interfaces.contains(link.name)) continue;
    if (Result<void> gone = netlink->remove_link(link.index); !gone)
      log::warning("stale interface {}: {}", link.name, gone.error().message);
  }
}

// The sockets that the monitor kept, or new ones.
Result<dns::Sockets> name_sockets(const LiveSandbox& live) {
  if (std::optional<dns::Sockets> kept = dns::recover_sockets(live.monitor))
    return std::move(*kept);
  dns::Sockets sockets;
  LAB_CHECK(inside_namespace(live.sandbox->key, [&sockets]() -> Result<void> {
    LAB_TRY(sockets, dns::open_sockets());
    return {};
  }));
  return sockets;
}

}  // namespace

Networks::Networks(const asio::any_io_executor& executor, Options options, DocumentStore& store,
                   const Clock& clock)
    : executor_(executor),
      options_(std::move(options)),
      store_(store),
      clock_(clock),
      drivers_(make_drivers()),
      changing_(executor),
      name_server_(executor, names_),
      relays_(executor) {}

void Networks::insert(Network network) {
  auto shared = std::make_shared<const Network>(std::move(network));
  std::scoped_lock lock(mutex_);
  networks_[shared->id] = std::move(shared);
}

Driver& Networks::driver_of(const Network& network) const {
  return *drivers_.find(network.driver)->second;
}

Result<void> Networks::add_predefined(const std::string& name, const std::string& driver) {
  Network network;
  for (const NetworkPtr& known : list()) {
    if (known->predefined && known->name == name) network = *known;
  }
  bool fresh = network.id.empty();
  if (fresh) {
    network.id = secure_random_hex(32);
    network.name = name;
    network.driver = driver;
    network.created = format_rfc3339(clock_.wall_now());
    network.predefined = true;
  }
  if (driver == "bridge") LAB_CHECK(complete_default_bridge(network));
  LAB_CHECK(driver_of(network).configure(network, {}));
  if (fresh) LAB_CHECK(store_.put(kind, network.id, json::serialize(to_document(network))));
  insert(std::move(network));
  return {};
}

// What the default bridge is like is said by the engine's flags, at each start.
Result<void> Networks::complete_default_bridge(Network& bridge) const {
  IpamConfig ipam;
  LAB_TRY(ipam.subnet, Subnet::parse(options_.bip));
  ipam.gateway = parse_address(options_.bip.substr(0, options_.bip.find('/'))).value();
  ipam.subnet_given = true;
  ipam.gateway_given = options_.bip != default_bip;
  if (ipam.subnet.prefix < 1 || ipam.subnet.prefix > 30 || ipam.gateway == ipam.subnet.base)
    return make_error(Code::invalid_argument,
                      "bip {}: an address and a prefix length of 1 to 30 are needed", options_.bip);
  bridge.ipam = {ipam};
  bridge.mtu = options_.mtu;
  bridge.options = json::object{{"com.docker.network.bridge.default_bridge", "true"},
                                {"com.docker.network.bridge.enable_icc", "true"},
                                {"com.docker.network.bridge.enable_ip_masquerade", "true"},
                                {"com.docker.network.bridge.host_binding_ipv4", "0.0.0.0"},
                                {"com.docker.network.bridge.name", "docker0"},
                                {"com.docker.network.driver.mtu", fmt::format("{}", bridge.mtu)}};
  return {};
}

Result<std::vector<Network>> Networks::load() {
  std::vector<Network> interrupted;
  LAB_TRY(auto documents, store_.all(kind));
  for (auto& [key, text] : documents) {
    LAB_TRY(json::object document, parse_object(text));
    LAB_TRY(Network network, network_from_document(document));
    if (!drivers_.contains(network.driver)) {
      log::warning("network {}: this engine has no driver \"{}\"", network.name, network.driver);
      continue;
    }
    if (!network.predefined) LAB_CHECK(driver_of(network).configure(network, {}));
    if (network.removing)
      interrupted.push_back(std::move(network));
    else
      insert(std::move(network));
  }
  LAB_CHECK(add_predefined("none", "null"));
  LAB_CHECK(add_predefined("host", "host"));
  LAB_CHECK(add_predefined("bridge", "bridge"));
  return interrupted;
}

// Blocks. The document goes last: as long as it is there, the next start tries again.
Result<void> Networks::finish_removal(const Network& network) const {
  if (!network.config_only) driver_of(network).take_down(network);
  return store_.remove(kind, network.id);
}

void Networks::open_pools(const Network& network) {
  Pools& pools = pools_[network.id];
  for (const IpamConfig* config : {network.ipv4(), network.ipv6_config()}) {
    if (config == nullptr) continue;
    AddressPool pool(config->subnet, config->range);
    pool.adopt(config->gateway);
    for (const auto& [name, address] : config->auxiliary) pool.adopt(address);
    (config->subnet.base.is_v4() ? pools.ipv4 : pools.ipv6) = std::move(pool);
  }
}

std::vector<FirewallBridge> Networks::firewall_bridges() const {
  std::vector<FirewallBridge> bridges;
  for (const NetworkPtr& network : list()) {
    if (network->interface.empty() || network->config_only) continue;
    bridges.push_back(firewall_bridge(*network));
  }
  return bridges;
}

void Networks::adopt(const Sandbox& sandbox) {
  for (const Endpoint& endpoint : sandbox.endpoints) {
    Pools& pools = pools_[endpoint.network_id];
    ++pools.endpoints;
    if (endpoint.address) pools.ipv4.adopt(*endpoint.address);
    if (endpoint.address6) pools.ipv6.adopt(*endpoint.address6);
    names_.add(endpoint);
  }
  for (const PortMapping& port : sandbox.ports)
    ports_.adopt(port.protocol, port.host_address, port.host_port);
}

asio::awaitable<Result<void>> Networks::start(std::vector<LiveSandbox> live) {
  LAB_CO_CHECK(make_directories(sandbox_folder()));
  LAB_CO_TRY(std::vector<Network> interrupted, load());
  std::vector<NetworkPtr> networks = list();
  for (const NetworkPtr& network : networks) open_pools(*network);
  std::vector<PortMapping> ports;
  for (const LiveSandbox& one : live) {
    adopt(*one.sandbox);
    ports.insert(ports.end(), one.sandbox->ports.begin(), one.sandbox->ports.end());
  }
  std::vector<FirewallBridge> bridges = firewall_bridges();
  std::map<const Sandbox*, dns::Sockets> sockets;
  std::set<std::string> bridge_names;
  for (const FirewallBridge& bridge : bridges) bridge_names.insert(bridge.interface);
  auto bring_up = [&]() -> Result<void> {
    for (const Network& network : interrupted) LAB_CHECK(finish_removal(network));
    for (const NetworkPtr& network : networks) {
      Network copy = *network;
      if (!network->config_only) LAB_CHECK(driver_of(copy).set_up(copy, false));
    }
    remove_stale(sandbox_folder(), live, bridge_names);
    for (const LiveSandbox& one : live) {
      if (!one.sandbox->serves_names()) continue;
      Result<dns::Sockets> got = name_sockets(one);
      if (got)
        sockets[one.sandbox] = std::move(*got);
      else
        log::warning("name server of container {}: {}", one.sandbox->container_id.substr(0, 12),
                     got.error().message);
    }
    return firewall_.reset(bridges, ports);
  };
  std::function<Result<void>()> work = bring_up;
  LAB_CO_CHECK(co_await run_blocking<Result<void>>(std::move(work)));
  for (auto& [sandbox, pair] : sockets) name_server_.serve(*sandbox, std::move(pair));
  for (const LiveSandbox& one : live) start_relays(*one.sandbox);
  co_return Result<void>();
}

asio::awaitable<Result<void>> Networks::renew_predefined() {
  AsyncMutex::Lock lock = co_await changing_.lock();
  for (const NetworkPtr& old : list()) {
    if (!old->predefined || has_endpoints(*old)) continue;
    Network fresh = *old;
    fresh.id = secure_random_hex(32);
    fresh.created = format_rfc3339(clock_.wall_now());
    // A crash in between leaves none, and the next start makes one.
    LAB_CO_CHECK(store_.remove(kind, old->id));
    LAB_CO_CHECK(store_.put(kind, fresh.id, json::serialize(to_document(fresh))));
    pools_.erase(old->id);
    open_pools(fresh);
    std::function<Result<void>()> make_anew = [this, &old, &fresh] {
      driver_of(*old).take_down(*old);
      return driver_of(fresh).set_up(fresh, false);
    };
    LAB_CO_CHECK(co_await run_blocking<Result<void>>(std::move(make_anew)));
    {
      std::scoped_lock guard(mutex_);
      networks_.erase(old->id);
    }
    insert(std::move(fresh));
  }
  co_return Result<void>();
}

NetworkPtr Networks::by_id(const std::string& id) const {
  std::scoped_lock lock(mutex_);
  auto found = networks_.find(id);
  return found == networks_.end() ? nullptr : found->second;
}

Result<NetworkPtr> Networks::find(std::string_view term) const {
  if (NetworkPtr exact = by_id(std::string(term))) return exact;
  std::vector<NetworkPtr> named;
  std::vector<NetworkPtr> begun;
  for (const NetworkPtr& network : list()) {
    if (network->name == term) named.push_back(network);
    if (network->id.starts_with(term)) begun.push_back(network);
  }
  if (named.size() == 1) return named.front();
  if (named.size() > 1) {
    return make_error(Code::invalid_argument,
                      "network {} is ambiguous ({} matches found based on name)", term,
                      named.size());
  }
  if (begun.size() == 1) return begun.front();
  if (begun.size() > 1) {
    return make_error(Code::invalid_argument,
                      "network {} is ambiguous ({} matches found based on ID prefix)", term,
                      begun.size());
  }
  return make_error(Code::not_found, "network {} not found", term);
}

std::vector<NetworkPtr> Networks::list() const {
  std::vector<NetworkPtr> all;
  {
    std::scoped_lock lock(mutex_);
    for (const auto& [id, network] : networks_) all.push_back(network);
  }
  std::sort(all.begin(), all.end(), [](const NetworkPtr& a, const NetworkPtr& b) {
    return std::tie(a->name, a->id) < std::tie(b->name, b->id);
  });
  return all;
}

bool Networks::has_endpoints(const Network& network) const {
  auto pools = pools_.find(network.id);
  return pools != pools_.end() && pools->second.endpoints > 0;
}

asio::awaitable<Result<void>> Networks::remove(NetworkPtr network) {
  if (network->predefined) {
    co_return make_error(Code::forbidden, "{} is a pre-defined network and cannot be removed",
                         network->name);
  }
  AsyncMutex::Lock lock = co_await changing_.lock();
  if (by_id(network->id) == nullptr)
    co_return make_error(Code::not_found, "network {} not found", network->name);
  if (has_endpoints(*network)) {
    co_return make_error(Code::forbidden,
                         "error while removing network: network {} id {} has active endpoints",
                         network->name, network->id);
  }
  for (const NetworkPtr& other : list()) {
    if (network->config_only && other->config_from == network->name)
      co_return make_error(Code::forbidden, "configuration network \"{}\" is in use",
                           network->name);
  }
  // The commit point.
  Network removed = *network;
  removed.removing = true;
  LAB_CO_CHECK(store_.put(kind, removed.id, json::serialize(to_document(removed))));
  {
    std::scoped_lock guard(mutex_);
    networks_.erase(network->id);
  }
  pools_.erase(network->id);
  std::vector<FirewallBridge> bridges = firewall_bridges();
  co_return co_await run_blocking<Result<void>>([this, &removed, &bridges]() -> Result<void> {
    LAB_CHECK(finish_removal(removed));
    return removed.config_only ? Result<void>() : firewall_.set_bridges(bridges);
  });
}

asio::awaitable<Result<Created>> Networks::create(CreateRequest request) {
  AsyncMutex::Lock lock = co_await changing_.lock();
  Created created;
  LAB_CO_TRY(created.warning, check_name(request));
  LAB_CO_TRY(Network network, prepare(request));
  created.id = network.id;
  // A device whose name the user chose counts as somebody else's until it is ours for sure: a crash
  // from here on may leave such a bridge, but never takes away one that was there.
  network.foreign_interface = network.interface != network.generated_interface();
  LAB_CO_CHECK(store_.put(kind, network.id, json::serialize(to_document(network))));
  network.foreign_interface = false;
  if (!network.config_only) {
    std::vector<FirewallBridge> bridges = firewall_bridges();
    if (!network.interface.empty()) bridges.push_back(firewall_bridge(network));
    Result<void> made = co_await run_blocking<Result<void>>([&]() -> Result<void> {
      LAB_CHECK(driver_of(network).set_up(network, true));
      return firewall_.set_bridges(bridges);
    });
    if (!made) {
      static_cast<void>(store_.remove(kind, network.id));
      co_return std::move(made).error();
    }
  }
  LAB_CO_CHECK(store_.put(kind, network.id, json::serialize(to_document(network))));
  open_pools(network);
  insert(std::move(network));
  co_return created;
}

}  // namespace lab::engine::network
