// Forming the labfile's swarm through the machines' Docker API. All of it blocks and does nothing
// where nothing is to be done.
#pragma once

#include <boost/json/object.hpp>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "provision/labfile/labfile.hpp"
#include "provision/node/node.hpp"

namespace lab::provision {

struct JoinInfo {
  std::string address;  // of a manager, "192.168.50.4:2377"
  std::string worker_token;
  std::string manager_token;
};

// From GET /swarm; nothing when that is no answer of a manager.
[[nodiscard]] std::optional<JoinInfo> parse_join_info(const ApiReply& swarm,
                                                      const std::string& address);

// Asks a manager, again while it has no leader.
[[nodiscard]] Result<JoinInfo> fetch_join_info(Node& manager, const MachineConfig& machine,
                                               const Clock& clock, std::chrono::seconds timeout);

// A new swarm with this machine as its first manager. Updates facts.swarm.
[[nodiscard]] Result<JoinInfo> initialise_swarm(Node& node, const MachineConfig& machine,
                                                NodeFacts& facts);

// Makes the machine a member of the swarm at `join`, out of another one first if `leave_first`.
// Updates facts.swarm.
[[nodiscard]] Result<void> join_swarm(Node& node, const MachineConfig& machine,
                                      const JoinInfo& join, bool leave_first, NodeFacts& facts);

// One machine as the swarm should have it.
struct Member {
  const MachineConfig* machine = nullptr;
  std::string node_id;
};

// What GET /nodes lacks, as requests that would put it right: labels, roles, left-over nodes of
// earlier machines of the same name.
[[nodiscard]] std::vector<ApiRequest> node_corrections(const boost::json::value& nodes,
                                                       const std::vector<Member>& members);
// Members that are absent or not Ready: "vm2 (down)".
[[nodiscard]] std::string not_ready(const boost::json::value& nodes,
                                    const std::vector<Member>& members);

// Corrects and waits until all members are Ready. `nodes` is the answer of GET /nodes that was got
// already, or null. True when something was changed.
[[nodiscard]] Result<bool> settle_swarm(Node& manager, boost::json::value nodes,
                                        const std::vector<Member>& members, const Clock& clock,
                                        std::chrono::seconds timeout);

// The image that registries run.
inline constexpr std::string_view registry_repository = "registry";
inline constexpr std::string_view registry_tag = "2";

// The registry as a container of registry:2, restarted by the engine for ever. `found` is the
// answer of GET /containers/NAME/json. True when it was started: a moment later it answers.
[[nodiscard]] Result<bool> ensure_registry(Node& node, const Labfile& labfile,
                                           const RegistryConfig& registry, const ApiReply& found,
                                           Progress& progress);
// "registry" for the first of a machine, then "registry-PORT".
[[nodiscard]] std::string registry_container(const Labfile& labfile,
                                             const RegistryConfig& registry);

}  // namespace lab::provision
