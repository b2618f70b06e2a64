#include "engine/container/inspect.hpp"

#include "engine/container/links.hpp"
#include "engine/network/networks.hpp"
#include "engine/util/json.hpp"

namespace lab::engine::container {

namespace json = boost::json;

namespace {

json::object state_document(const Container& container) {
  const State& state = container.state;
  json::object document{
      {"Status", state.status()},       {"Running", state.running || state.restarting},
      {"Paused", state.paused},         {"Restarting", state.restarting},
      {"OOMKilled", state.oom_killed},  {"Dead", state.dead},
      {"Pid", state.process.pid},       {"ExitCode", state.exit_code},
      {"Error", state.error},           {"StartedAt", state.started_at},
      {"FinishedAt", state.finished_at}};
  if (state.health) {
    json::array log;
    for (const json::object& probe : state.health->log) log.push_back(probe);
    document["Health"] = json::object{{"Status", state.health->status},
                                      {"FailingStreak", state.health->failing_streak},
                                      {"Log", std::move(log)}};
  }
  return document;
}

json::value wish(const json::object& settings, std::string_view key) {
  const json::value* given = settings.if_contains(key);
  return given != nullptr ? *given : json::value(nullptr);
}

std::string address_text(const std::optional<network::IpAddress>& address) {
  return address ? address->to_string() : std::string();
}

// EndpointSettings: the wishes, and while the container runs what came of them.
json::object endpoint_document(const json::object& settings, const network::Endpoint* endpoint) {
  static const network::Endpoint none;
  const network::Endpoint& now = endpoint != nullptr ? *endpoint : none;
  return json::object{{"IPAMConfig", wish(settings, "IPAMConfig")},
                      {"Links", wish(settings, "Links")},
                      {"Aliases", wish(settings, "Aliases")},
                      {"NetworkID", text_of(settings, "NetworkID")},
                      {"EndpointID", now.id},
                      {"Gateway", address_text(now.gateway)},
                      {"IPAddress", address_text(now.address)},
                      {"IPPrefixLen", now.prefix},
                      {"IPv6Gateway", address_text(now.gateway6)},
                      {"GlobalIPv6Address", address_text(now.address6)},
                      {"GlobalIPv6PrefixLen", now.prefix6},
                      {"MacAddress", now.address ? network::format_mac(now.mac) : ""},
                      {"DriverOpts", wish(settings, "DriverOpts")}};
}

json::object networks_document(const Container& container) {
  json::object networks;
  for (const auto& [name, settings] : container.networks) {
    const network::Endpoint* endpoint =
        container.sandbox ? container.sandbox->on(text_of(settings, "NetworkID")) : nullptr;
    networks[name] = endpoint_document(settings, endpoint);
  }
  return networks;
}

// Ports are published through the network that leads out; without one there are none to show.
bool has_ports(const Container& container) {
  return container.sandbox && container.sandbox->gateway() != nullptr;
}

json::object ports_document(const Container& container) {
  json::object ports;
  if (!has_ports(container)) return ports;
  for (const auto& exposed : object_of(container.config, "ExposedPorts"))
    ports[exposed.key()] = nullptr;
  for (const network::PortMapping& port : container.sandbox->ports) {
    json::value& entry = ports[fmt::format("{}/{}", port.container_port, port.protocol)];
    if (!entry.is_array()) entry = json::array();
    entry.as_array().push_back(json::object{{"HostIp", port.host_address.to_string()},
                                            {"HostPort", fmt::format("{}", port.host_port)}});
  }
  return ports;
}

json::object network_settings(const Containers& containers, const Container& container) {
  json::object networks = networks_document(container);
  const json::object& first = object_of(networks, "bridge");
  auto of_bridge = [&first](std::string_view key) { return json::value(text_of(first, key)); };
  const std::string id = container.sandbox ? container.sandbox->id : container.last_sandbox_id;
  const std::string key = container.sandbox ? containers.sandbox_key(*container.sandbox).string()
                                            : container.last_sandbox_key;
  json::object settings{{"Bridge", ""},
                        {"SandboxID", id},
                        {"HairpinMode", false},
                        {"LinkLocalIPv6Address", ""},
                        {"LinkLocalIPv6PrefixLen", 0},
                        {"Ports", ports_document(container)},
                        {"SandboxKey", key},
                        {"SecondaryIPAddresses", nullptr},
                        {"SecondaryIPv6Addresses", nullptr},
                        {"EndpointID", of_bridge("EndpointID")},
                        {"Gateway", of_bridge("Gateway")},
                        {"GlobalIPv6Address", of_bridge("GlobalIPv6Address")},
                        {"GlobalIPv6PrefixLen", integer_of(first, "GlobalIPv6PrefixLen")},
                        {"IPAddress", of_bridge("IPAddress")},
                        {"IPPrefixLen", integer_of(first, "IPPrefixLen")},
                        {"IPv6Gateway", ""},
                        {"MacAddress", of_bridge("MacAddress")}};
  settings["Networks"] = std::move(networks);
  return settings;
}

json::object host_config_document(const Containers& containers, const Container& container) {
  json::object document = container.host_config;
  document["Links"] = shown_links(containers, container);
  return document;
}

json::array mounts_document(const Container& container) {
  json::array mounts;
  for (const MountPoint& mount : container.mounts) {
    if (mount.listed) mounts.push_back(mount_settings(mount));
  }
  return mounts;
}

json::object driver_document(const Containers& containers, const Container& container) {
  RootfsPaths paths = containers.rootfs(container.id);
  std::string lower;
  if (auto lowers = containers.lowers(container.id)) {
    for (const std::filesystem::path& folder : *lowers)
      lower += (lower.empty() ? "" : ":") + folder.string();
  }
  return json::object{{"Data", json::object{{"LowerDir", lower},
                                            {"MergedDir", paths.merged.string()},
                                            {"UpperDir", paths.upper.string()},
                                            {"WorkDir", paths.work.string()}}},
                      {"Name", "overlay2"}};
}

void add_sizes(json::object& document, const std::optional<ContainerSizes>& sizes) {
  if (!sizes) return;
  if (sizes->writable_bytes > 0) document["SizeRw"] = sizes->writable_bytes;
  document["SizeRootFs"] = sizes->total_bytes;
}

std::string command_text(const Container& container) {
  std::string text = container.path;
  for (const std::string& word : container.arguments) {
    bool quoted = word.find(' ') != std::string::npos;
    text += quoted ? " '" + word + "'" : " " + word;
  }
  return text;
}

// The name it was made from, unless that now names another image.
std::string image_text(const Containers& containers, const Container& container) {
  std::string name = text_of(container.config, "Image");
  Result<image::ImagePtr> image = containers.services().images.resolve(name);
  return image && (*image)->id == container.image_id ? name : container.image_id;
}

json::array port_list(const Container& container) {
  json::array ports;
  if (!has_ports(container)) return ports;
  std::set<std::string> published;
  for (const network::PortMapping& port : container.sandbox->ports) {
    published.insert(fmt::format("{}/{}", port.container_port, port.protocol));
    ports.push_back(json::object{{"IP", port.host_address.to_string()},
                                 {"PrivatePort", port.container_port},
                                 {"PublicPort", port.host_port},
                                 {"Type", port.protocol}});
  }
  for (const auto& exposed : object_of(container.config, "ExposedPorts")) {
    std::string text(exposed.key());
    if (published.contains(text)) continue;
    std::size_t slash = text.find('/');
    ports.push_back(
        json::object{{"PrivatePort", std::atoi(text.c_str())},
                     {"Type", slash == std::string::npos ? "tcp" : text.substr(slash + 1)}});
  }
  return ports;
}

}  // namespace

ContainerSizes measure(const Containers& containers, const Container& container) {
  ContainerSizes sizes;
  sizes.writable_bytes = folder_size_bytes(containers.rootfs(container.id).upper);
  sizes.total_bytes = sizes.writable_bytes;
  if (auto image = containers.services().images.by_id(container.image_id))
    sizes.total_bytes += (*image)->size_bytes;
  return sizes;
}

json::object inspect(const Containers& containers, const Container& container,
                     std::optional<ContainerSizes> sizes) {
  std::filesystem::path files = containers.folder(container.id);
  bool placed = container.state.started_at != zero_rfc3339;
  auto file = [&files, placed](const char* name) {
    return placed ? (files / name).string() : std::string();
  };
  json::value execs = nullptr;
  if (!container.execs.empty())
    execs = to_array(std::vector<std::string>(container.execs.begin(), container.execs.end()));
  bool logged = text_of(object_of(container.host_config, "LogConfig"), "Type") != "none";
  json::object document{
      {"Id", container.id},
      {"Created", container.created},
      {"Path", container.path},
      {"Args", to_array(container.arguments)},
      {"State", state_document(container)},
      {"Image", container.image_id},
      {"ResolvConfPath", file("resolv.conf")},
      {"HostnamePath", file("hostname")},
      {"HostsPath", file("hosts")},
      {"LogPath", placed && logged ? containers.log_path(container.id).string() : ""},
      {"Name", "/" + container.name},
      {"RestartCount", container.restart_count},
      {"Driver", "overlay2"},
      {"Platform", "linux"},
      {"MountLabel", ""},
      {"ProcessLabel", ""},
      {"AppArmorProfile", ""},
      {"ExecIDs", std::move(execs)},
      {"HostConfig", host_config_document(containers, container)},
      {"GraphDriver", driver_document(containers, container)}};
  add_sizes(document, sizes);
  if (sizes) document["SizeRw"] = sizes->writable_bytes;
  document["Mounts"] = mounts_document(container);
  document["Config"] = container.config;
  document["NetworkSettings"] = network_settings(containers, container);
  return document;
}

json::object summarize(const Containers& containers, const Container& container,
                       std::optional<ContainerSizes> sizes) {
  json::object document{{"Id", container.id},
                        {"Names", json::array{"/" + container.name}},
                        {"Image", image_text(containers, container)},
                        {"ImageID", container.image_id},
                        {"Command", command_text(container)},
                        {"Created", container.created_seconds},
                        {"Ports", port_list(container)}};
  add_sizes(document, sizes);
  document["Labels"] = object_of(container.config, "Labels");
  document["State"] = container.state.status();
  document["Status"] = status_text(container, containers.services().clock.wall_now());
  document["HostConfig"] =
      json::object{{"NetworkMode", text_of(container.host_config, "NetworkMode")}};
  document["NetworkSettings"] = json::object{{"Networks", networks_document(container)}};
  json::array mounts;
  for (const MountPoint& mount : container.mounts) {
    if (!mount.listed) continue;
    json::object settings = mount_settings(mount);
    // Lists do not say where anonymous volumes lie.
    if (mount.anonymous) settings["Source"] = "";
    mounts.push_back(std::move(settings));
  }
  document["Mounts"] = std::move(mounts);
  return document;
}

}  // namespace lab::engine::container
