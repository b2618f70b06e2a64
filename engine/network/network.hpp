// What networks are made of: a network, a container's endpoint on it, and the container's sandbox
// (its network namespace with all endpoints). Values, and the documents they are kept as.
#pragma once

#include <boost/json/object.hpp>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "engine/network/address.hpp"
#include "engine/network/firewall.hpp"

namespace lab::engine::network {

// How the host's ends of veth pairs begin.
inline constexpr const char* veth_prefix = "veth";

// One address family of a network, as it was asked for and as it came out.
struct IpamConfig {
  Subnet subnet;
  std::optional<Subnet> range;
  IpAddress gateway;
  std::map<std::string, IpAddress> auxiliary;
  bool subnet_given = false;
  bool gateway_given = false;
};
// As the API shows it: what was asked for; all of it when nothing was.
[[nodiscard]] boost::json::object ipam_settings(const IpamConfig& config);

struct Network {
  std::string id;
  std::string name;
  std::string driver;  // "bridge", "host", "null"
  std::string created;
  std::vector<IpamConfig> ipam;  // IPv4 first
  boost::json::value ipam_options;
  bool ipv6 = false;
  bool internal = false;
  bool attachable = false;
  bool config_only = false;
  std::string config_from;
  bool predefined = false;
  bool removing = false;        // a removal is under way, which a crash does not stop
  boost::json::object options;  // texts
  boost::json::object labels;   // texts

  // Of drivers with a device on this host.
  std::string interface;
  bool foreign_interface = false;  // was there before the network
  int mtu = 1500;
  bool masquerade = true;
  bool inter_container = true;          // containers on it may reach each other
  std::optional<IpAddress> publish_on;  // where ports are published that name no address

  [[nodiscard]] const IpamConfig* ipv4() const;
  [[nodiscard]] const IpamConfig* ipv6_config() const;
  // Names are served on every network but the predefined ones.
  [[nodiscard]] bool serves_names() const { return !predefined; }
  [[nodiscard]] std::string option(std::string_view name) const;
  // "br-0123456789ab": the device's name where the user gave none.
  [[nodiscard]] std::string generated_interface() const { return "br-" + id.substr(0, 12); }
};
[[nodiscard]] boost::json::object to_document(const Network& network);
[[nodiscard]] Result<Network> network_from_document(const boost::json::object& document);

// A container's place on one network.
struct Endpoint {
  std::string id;
  std::string network_id;
  std::string network_name;
  bool serves_names = false;
  bool internal = false;
  std::string host_interface;  // "veth1a2b3c4d"; empty on networks without one
  std::string container_interface;
  std::optional<IpAddress> address;
  std::optional<IpAddress> gateway;
  int prefix = 0;
  std::optional<IpAddress> address6;
  std::optional<IpAddress> gateway6;
  int prefix6 = 0;
  std::vector<IpAddress> link_local;  // more addresses of its interface; known until it joins
  MacAddress mac{};
  // What others on the network call it; the first is what its address resolves to.
  std::vector<std::string> names;
  // What this container alone calls others: alias -> container's name.
  std::map<std::string, std::string> links;
};

struct Sandbox {
  std::string id;
  std::string container_id;
  std::filesystem::path key;  // the namespace's file; empty: the host's namespace
  std::vector<Endpoint> endpoints;
  std::vector<PortMapping> ports;
  std::vector<std::string> name_servers;  // where it asks for what it does not know
  bool forwards_single_labels = true;     // without a dot, when it does not know them

  // The endpoint through which the container reaches other networks, and on which its ports are
  // published: as Docker, the first by name that is not internal. Null without one.
  [[nodiscard]] const Endpoint* gateway() const;
  [[nodiscard]] const Endpoint* on(const std::string& network_id) const;
  // Some network of it has a name service.
  [[nodiscard]] bool serves_names() const;
};

[[nodiscard]] boost::json::object to_document(const Sandbox& sandbox);
[[nodiscard]] Sandbox sandbox_from_document(const boost::json::object& document);

}  // namespace lab::engine::network
