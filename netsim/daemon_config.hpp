// labd's configuration: a JSON file that `lab up` writes. Errors are Code::invalid_argument and
// name the key, the value and what is allowed.
#pragma once

#include <boost/json/object.hpp>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"

namespace lab::netsim {

struct MachinePort {
  std::string machine;
  std::string mac;      // "52:54:00:12:34:56"
  std::string address;  // "192.168.50.4"
  std::uint16_t switch_port = 0;
  std::uint16_t nic_port = 0;
};

// Qualities of the links between `from` and `to`, each a machine or "*"; a later rule is merged
// over an earlier one.
struct LinkRule {
  std::string from;
  std::string to;
  boost::json::object quality;  // key -> word, as in merge_json(); checked
};

struct MirrorConfig {
  std::string address = "127.0.0.1";
  std::uint16_t port = 0;  // 0: a free one
  std::string catalogue;   // an OCI image layout
};

// 127.0.0.1:host on this host leads to the machine's TCP port.
struct PortForward {
  std::uint16_t host = 0;
  std::string machine;
  std::uint16_t port = 0;
};

struct DaemonConfig {
  std::string lab;
  std::string lab_id;       // with `libvirt_uri`: where the machines are; both may be empty when
  std::string libvirt_uri;  // nothing is forwarded
  std::string control_socket;
  std::string subnet;
  std::optional<MirrorConfig> mirror;
  std::vector<MachinePort> ports;
  std::vector<LinkRule> links;
  std::vector<PortForward> forwards;
};

[[nodiscard]] Result<DaemonConfig> parse_daemon_config(std::string_view text);
// The error begins with the file's path.
[[nodiscard]] Result<DaemonConfig> read_daemon_config(const std::filesystem::path& path);

// How many properties a rule has besides "from" and "to".
enum class RuleProperties : std::uint8_t { none, any, some };

// {"from":"vm1","to":"*","delay":"10ms"}: `where` names it in errors ("links[0]").
[[nodiscard]] Result<LinkRule> parse_link_rule(const boost::json::value& value,
                                               std::string_view where, RuleProperties properties);

}  // namespace lab::netsim
