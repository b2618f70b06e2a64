// Containers and their networks: what a container wishes of each, taking it at start, and changing
// networks later.
#include <algorithm>
#include <charconv>
#include <cstring>

#include "base/blocking.hpp"
#include "base/file.hpp"
#include "base/log.hpp"
#include "engine/container/containers.hpp"
#include "engine/container/links.hpp"
#include "engine/container/name_files.hpp"
#include "engine/container/network_rules.hpp"
#include "engine/network/networks.hpp"
#include "engine/util/json.hpp"

namespace lab::engine::container {

namespace asio = boost::asio;
namespace json = boost::json;

namespace {

constexpr std::size_t resolver_bytes_max = std::size_t{1} << 20;

// "80/tcp" -> 80, "tcp".
std::pair<std::uint16_t, std::string> parse_port(std::string_view text) {
  std::uint16_t port = 0;
  std::from_chars(text.data(), text.data() + text.size(), port);
  std::size_t slash = text.find('/');
  std::string protocol(slash == std::string_view::npos ? "tcp" : text.substr(slash + 1));
  return {port, protocol};
}

std::vector<network::PortRequest> port_requests(const Container& container) {
  std::vector<network::PortRequest> requests;
  const json::object& bindings = object_of(container.host_config, "PortBindings");
  for (const auto& binding : bindings) {
    auto [port, protocol] = parse_port(binding.key());
    if (!binding.value().is_array() || port == 0) continue;
    for (const json::value& item : binding.value().get_array()) {
      if (!item.is_object()) continue;
      network::PortRequest request;
      request.protocol = protocol;
      request.container_port = port;
      request.host_address = text_of(item.get_object(), "HostIp");
      // Checked when the container was made.
      Result<PortRange> range = parse_port_range(text_of(item.get_object(), "HostPort"));
      if (!range) continue;
      request.host_port_first = range->first;
      request.host_port_last = range->last;
      requests.push_back(std::move(request));
    }
  }
  if (!flag_of(container.host_config, "PublishAllPorts")) return requests;
  for (const auto& exposed : object_of(container.config, "ExposedPorts")) {
    if (bindings.contains(exposed.key())) continue;
    auto [port, protocol] = parse_port(exposed.key());
    network::PortRequest request;
    request.protocol = protocol;
    request.container_port = port;
    requests.push_back(std::move(request));
  }
  return requests;
}

bool is_user_defined(const std::string& mode) {
  return mode != "bridge" && mode != "none" && mode != "host" && !mode.starts_with("container:");
}

std::string host_resolver() {
  Result<std::string> text = read_file("/etc/resolv.conf", resolver_bytes_max);
  return text ? *text : std::string();
}

std::vector<std::string> addresses_of(const network::Endpoint& endpoint) {
  std::vector<std::string> addresses;
  if (endpoint.address) addresses.push_back(endpoint.address->to_string());
  if (endpoint.address6) addresses.push_back(endpoint.address6->to_string());
  return addresses;
}

// The wishes among EndpointSettings, with null for what is left open.
json::object wishes_of(const json::object& settings) {
  json::object wishes;
  for (const char* key : {"IPAMConfig", "Links", "Aliases", "DriverOpts"}) {
    const json::value* given = settings.if_contains(key);
    wishes[key] = given != nullptr ? *given : json::value(nullptr);
  }
  return wishes;
}

Result<void> check_wishes(const json::object& settings) {
  const json::object& ipam = object_of(settings, "IPAMConfig");
  for (const auto& [key, v4] : {std::pair{"IPv4Address", true}, std::pair{"IPv6Address", false}}) {
    std::string text = text_of(ipam, key);
    if (text.empty()) continue;
    std::optional<network::IpAddress> address = network::parse_address(text);
    if (!address || address->is_v4() != v4) {
      return make_error(Code::invalid_argument, "invalid {} address: {}", v4 ? "IPv4" : "IPv6",
                        text);
    }
  }
  return {};
}

// As Docker, a container is known by its short id on networks with a name service.
void add_short_id(json::object& settings, const std::string& id) {
  std::vector<std::string> aliases = texts_of(settings, "Aliases");
  std::string short_id = id.substr(0, 12);
  std::erase(aliases, short_id);
  aliases.insert(aliases.begin(), short_id);
  settings["Aliases"] = to_array(aliases);
}

NameFiles name_files_of(const Container& container) {
  NameFiles files;
  files.hostname = text_of(container.config, "Hostname");
  files.domain_name = text_of(container.config, "Domainname");
  files.extra_hosts = texts_of(container.host_config, "ExtraHosts");
  files.dns = texts_of(container.host_config, "Dns");
  files.dns_search = texts_of(container.host_config, "DnsSearch");
  files.dns_options = texts_of(container.host_config, "DnsOptions");
  files.host_network = container.network_mode() == "host";
  if (!container.sandbox) return files;
  files.name_service = container.sandbox->serves_names();
  for (const network::Endpoint& endpoint : container.sandbox->endpoints) {
    for (std::string& address : addresses_of(endpoint))
      files.addresses.push_back(std::move(address));
  }
  return files;
}

}  // namespace

std::filesystem::path Containers::sandbox_key(const network::Sandbox& sandbox) const {
  return sandbox.key.empty() ? services_.networks.host_key() : sandbox.key;
}

Result<void> Containers::plan_networks(Container& container,
                                       const json::object& networking_config) const {
  std::string mode = container.network_mode();
  if (container.joins_network()) {
    if (mode == "container:") {
      return make_error(Code::invalid_argument,
                        "Invalid network mode: invalid container format container:<name|id>");
    }
    // Known by its id from here on, if it is there.
    if (Result<ContainerPtr> other = find(mode.substr(std::strlen("container:")))) {
      container.host_config["NetworkMode"] = "container:" + (*other)->id;
      container.config["Hostname"] = text_of((*other)->config, "Hostname");
      container.config["Domainname"] = text_of((*other)->config, "Domainname");
    }
    return {};
  }
  const json::object& wanted = object_of(networking_config, "EndpointsConfig");
  if (wanted.size() > 1) {
    std::vector<std::string> names;
    for (const auto& one : wanted) names.emplace_back(one.key());
    std::sort(names.begin(), names.end());
    return make_error(Code::invalid_argument,
                      "Container cannot be connected to network endpoints: {}",
                      fmt::join(names, ", "));
  }
  for (const auto& one : wanted) {
    const json::object& settings = object_of(wanted, one.key());
    LAB_CHECK(check_wishes(settings));
    // Newer clients call the default network so.
    std::string name = one.key() == "default" ? "bridge" : std::string(one.key());
    Result<network::NetworkPtr> found = services_.networks.find(name);
    container.networks[found ? (*found)->name : name] = wishes_of(settings);
  }
  if (!container.networks.empty()) return {};
  Result<network::NetworkPtr> found = services_.networks.find(mode);
  container.networks[found && is_user_defined(mode) ? (*found)->name : mode] =
      wishes_of(json::object());
  return {};
}

network::SandboxRequest Containers::sandbox_request(const Container& container) const {
  network::SandboxRequest request;
  request.container_id = container.id;
  request.container_name = container.name;
  request.name_generated = container.name_generated;
  NameForwarding forwarding = name_forwarding(name_files_of(container), host_resolver());
  request.name_servers = std::move(forwarding.servers);
  request.forwards_single_labels = forwarding.single_labels;
  request.ports = port_requests(container);
  return request;
}

Result<void> Containers::reserve_network(Container& container) {
  std::string mode = container.network_mode();
  if (container.joins_network()) {
    LAB_TRY(ContainerPtr other, find(mode.substr(std::strlen("container:"))));
    if (other->id == container.id) return make_error(Code::internal, "cannot join own network");
    if (!other->state.running) {
      return make_error(Code::conflict, "cannot join network of a non running container: {}",
                        other->id);
    }
    return {};
  }
  network::SandboxRequest request = sandbox_request(container);
  for (auto& [name, settings] : container.networks) {
    LAB_TRY(network::NetworkPtr network, services_.networks.find(name));
    if (network->serves_names()) add_short_id(settings, container.id);
    network::EndpointRequest endpoint;
    endpoint.network = network->id;
    endpoint.settings = settings;
    if (name == mode) endpoint.mac = text_of(container.config, "MacAddress");
    request.endpoints.push_back(std::move(endpoint));
  }
  LAB_TRY(container.sandbox, services_.networks.reserve(request));
  for (const network::Endpoint& endpoint : container.sandbox->endpoints)
    container.networks[endpoint.network_name]["NetworkID"] = endpoint.network_id;
  return {};
}

// Links on the default bridge, which has no name service, need the other to be there.
Result<void> Containers::check_links(const Container& container) const {
  if (container.network_mode() != "bridge") return {};
  for (const std::string& text : texts_of(container.host_config, "Links")) {
    LAB_TRY(const Link link, parse_link(text));
    Result<ContainerPtr> other = find(link.target);
    if (!other) {
      return make_error(Code::invalid_argument, "could not get container for {}: {}", link.target,
                        other.error().message);
    }
    if ((*other)->network_mode() == "host") {
      return make_error(Code::invalid_argument,
                        "conflicting options: host type networking can't be used with links. This "
                        "would result in undefined behavior");
    }
  }
  return {};
}

bool Containers::unlink(const ContainerPtr& container, const std::string& alias) {
  json::array kept;
  const std::vector<std::string> links = texts_of(container->host_config, "Links");
  for (const std::string& text : links) {
    Result<Link> link = parse_link(text);
    if (!link || link->alias != alias) kept.emplace_back(text);
  }
  if (kept.size() == links.size()) return false;
  container->host_config["Links"] = std::move(kept);
  saved_or_logged(*container);
  return true;
}

// Lines in /etc/hosts for them.
Result<void> Containers::add_link_hosts(const Container& container,
                                        std::vector<std::string>& extra_hosts) const {
  if (container.network_mode() != "bridge") return {};
  for (const std::string& text : texts_of(container.host_config, "Links")) {
    LAB_TRY(const Link link, parse_link(text));
    LAB_TRY(ContainerPtr other, find(link.target));
    const std::string& alias = link.alias;
    if (!other->sandbox) {
      return make_error(Code::conflict, "Cannot link to a non running container: /{} AS /{}/{}",
                        other->name, container.name, alias);
    }
    for (const network::Endpoint& endpoint : other->sandbox->endpoints) {
      if (!endpoint.address) continue;
      std::string names = alias + " " + text_of(other->config, "Hostname");
      if (other->name != alias) names += " " + other->name;
      extra_hosts.push_back(names + ":" + endpoint.address->to_string());
    }
  }
  return {};
}

Result<void> Containers::write_network_files(const Container& container) const {
  NameFiles files = name_files_of(container);
  if (Result<network::NetworkPtr> bridge = services_.networks.find("bridge");
      bridge && (*bridge)->ipv4() != nullptr)
    files.host_gateway = (*bridge)->ipv4()->gateway.to_string();
  LAB_CHECK(add_link_hosts(container, files.extra_hosts));
  return write_name_files(folder(container.id), files);
}

void Containers::emit_network(const Container& container, const network::Endpoint& endpoint,
                              std::string action) const {
  Result<network::NetworkPtr> network = services_.networks.find(endpoint.network_id);
  services_.events.emit("network", std::move(action), endpoint.network_id,
                        {{"container", container.id},
                         {"name", endpoint.network_name},
                         {"type", network ? (*network)->driver : ""}});
}

asio::awaitable<Result<void>> Containers::connect(ContainerPtr container, std::string name,
                                                  json::object settings) {
  AsyncMutex::Lock lock = co_await container->operation.lock();
  if (container->state.removing || container->state.dead) {
    co_return make_error(Code::conflict,
                         "Container {} is marked for removal and cannot be connected or "
                         "disconnected to the network",
                         container->id);
  }
  LAB_CO_CHECK(check_wishes(settings));
  LAB_CO_TRY(json::object wishes, check_connect(*container, name, settings));
  bool running = container->state.running;
  Result<network::NetworkPtr> network = services_.networks.find(name);
  if (!running && !network) {
    container->networks[name] = std::move(wishes);
    co_return save(*container);
  }
  if (!network) co_return std::move(network).error();
  if ((*network)->serves_names()) add_short_id(wishes, container->id);
  if (!running) {
    container->networks[(*network)->name] = std::move(wishes);
    co_return save(*container);
  }
  wishes["NetworkID"] = (*network)->id;
  network::SandboxRequest request = sandbox_request(*container);
  network::EndpointRequest endpoint;
  endpoint.network = (*network)->id;
  endpoint.settings = wishes;
  request.endpoints.push_back(std::move(endpoint));
  container->rewiring = true;
  Result<void> connected =
      co_await services_.networks.connect(*container->sandbox, std::move(request));
  if (connected) {
    container->networks[(*network)->name] = std::move(wishes);
    connected = save(*container);
    const network::Endpoint& added = container->sandbox->endpoints.back();
    NameFiles files = name_files_of(*container);
    Result<void> written =
        add_host_lines(folder(container->id), addresses_of(added), host_names(files));
    if (written) written = rewrite_resolver(folder(container->id), files);
    if (!written)
      log::warning("container {}: {}", container->id.substr(0, 12), written.error().message);
    emit_network(*container, added, "connect");
  }
  container->rewiring = false;
  container->changed.notify_all();
  co_return connected;
}

// Docker's rules of which networks go together; gives the wishes to keep.
Result<json::object> Containers::check_connect(const Container& container, const std::string& name,
                                               const json::object& settings) const {
  constexpr const char* shared =
      "container sharing network namespace with another container or host cannot be connected to "
      "any other network";
  std::string mode = container.network_mode();
  if (container.joins_network()) return make_error(Code::invalid_argument, "{}", shared);
  Result<network::NetworkPtr> network = services_.networks.find(name);
  if (!network) {
    if (container.state.running) return std::move(network).error();
    return wishes_of(settings);
  }
  if ((*network)->driver == "host" && mode != "host") {
    return make_error(Code::invalid_argument,
                      "container cannot be disconnected from host network or connected to host "
                      "network");
  }
  LAB_CHECK(network::check_wishes(**network, settings));
  if (container.networks.contains((*network)->name)) {
    if (!container.state.running) return wishes_of(settings);
    return make_error(Code::forbidden, "endpoint with name {} already exists in network {}",
                      container.name, (*network)->name);
  }
  if (mode == "host") return make_error(Code::invalid_argument, "{}", shared);
  bool none = (*network)->driver == "null" || container.networks.contains("none");
  if (none && !container.networks.empty() && container.state.running) {
    return make_error(Code::invalid_argument,
                      "container cannot be connected to multiple networks with one of the networks "
                      "in private (none) mode");
  }
  return wishes_of(settings);
}

asio::awaitable<Result<void>> Containers::disconnect(ContainerPtr container, std::string name,
                                                     bool force) {
  AsyncMutex::Lock lock = co_await container->operation.lock();
  Result<network::NetworkPtr> network = services_.networks.find(name);
  std::string known = network ? (*network)->name : name;
  bool attached = container->networks.contains(known);
  if (!network && !(force && attached)) co_return std::move(network).error();
  if (network && (*network)->driver == "host" && attached) {
    co_return make_error(Code::invalid_argument,
                         "container cannot be disconnected from host network or connected to host "
                         "network");
  }
  if (!attached) {
    if (!container->state.running)
      co_return make_error(Code::internal, "container {} is not connected to the network {}",
                           container->id, known);
    co_return make_error(Code::forbidden, "container {} is not connected to network {}",
                         container->id, known);
  }
  if (!container->state.running || !container->sandbox || !network) {
    container->networks.erase(known);
    co_return save(*container);
  }
  const network::Endpoint* found = container->sandbox->on((*network)->id);
  network::Endpoint gone = found != nullptr ? *found : network::Endpoint{};
  container->rewiring = true;
  Result<void> done = co_await services_.networks.disconnect(*container->sandbox, (*network)->id);
  if (done) {
    container->networks.erase(known);
    done = save(*container);
    Result<void> written = remove_host_lines(folder(container->id), addresses_of(gone));
    if (!written)
      log::warning("container {}: {}", container->id.substr(0, 12), written.error().message);
    emit_network(*container, gone, "disconnect");
  }
  container->rewiring = false;
  container->changed.notify_all();
  co_return done;
}

}  // namespace lab::engine::container
