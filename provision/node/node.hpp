// Bringing one running machine to the state that the labfile wants: files, daemons, registries,
// provisioners. Each function does nothing where nothing is to be done. All of it blocks.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "base/error.hpp"
#include "provision/node/api.hpp"
#include "provision/node/files.hpp"
#include "provision/progress.hpp"
#include "provision/ssh.hpp"

namespace lab::provision {

// A node's own word on its place in a swarm (the "Swarm" object of GET /info).
struct SwarmFacts {
  std::string state;  // "inactive", "pending", "active", "error", "locked"; empty: unknown
  std::string node_id;
  bool is_manager = false;  // ControlAvailable
  std::string error;
};

// What is known about a machine.
struct NodeFacts {
  Manifest manifest;       // of what was sent
  Manifest seed_manifest;  // of what the seed brought
  Manifest found;
  std::vector<std::string> provisioned;  // marks of the commands that have run
  bool engine_answers = false;
  bool swarm_answers = false;
  SwarmFacts swarm;
  std::vector<ApiReply> more;  // answers to the extra requests
};

struct NodePlan {
  std::string machine;
  std::vector<NodeFile> files;          // programs, units, configuration, certificates
  std::vector<NodeFile> labfile_files;  // of the labfile; sent last
  std::vector<std::string> commands;    // likewise
  bool just_started = false;            // with all files in its seed: its daemons are on their way
};

class Node {
 public:
  // `alive` is asked while SSH does not answer: false (the emulator died) ends the wait. Nothing is
  // tried before `reachable` says that the machine has its network.
  [[nodiscard]] static Result<Node> wait_for_ssh(const SshTarget& target, const Clock& clock,
                                                 std::chrono::seconds timeout,
                                                 const std::function<bool()>& alive,
                                                 const std::function<bool()>& reachable);

  // `more` is asked of the API after the engine's and the swarm agent's own answers. In a machine
  // that has just started, the daemons are waited for.
  [[nodiscard]] Result<NodeFacts> look(const NodePlan& plan, const std::vector<ApiRequest>& more);

  // Sends the plan's files that are missing or different, restarts the daemons that they concern,
  // starts those that don't answer, and waits until they do. True when something was done.
  [[nodiscard]] Result<bool> deploy(const NodePlan& plan, NodeFacts& facts, Progress& progress);

  // The labfile's files, then its commands that have not run in their present form.
  [[nodiscard]] Result<bool> provision(const NodePlan& plan, NodeFacts& facts, Progress& progress);

  // Has the kernel use the processors that the machine was given while it ran.
  [[nodiscard]] Result<void> use_cpus(unsigned cpus);

  // Waits while the swarm agent is only about to take up its place again ("pending", after a boot).
  [[nodiscard]] Result<void> wait_while_pending(NodeFacts& facts, std::chrono::seconds timeout);

  [[nodiscard]] SshSession& session() { return session_; }

 private:
  Node(SshSession session, const Clock& clock) : session_(std::move(session)), clock_(&clock) {}
  Result<void> look_at_files(const NodePlan& plan, NodeFacts& facts);
  Result<void> send(const std::vector<NodeFile>& files, NodeFacts& facts);
  // False when they don't within the time.
  Result<bool> daemons_answer(NodeFacts& facts, std::chrono::seconds time);
  Result<void> start_daemons(const std::set<std::string>& restart, bool units_changed,
                             NodeFacts& facts, Progress& progress);
  Result<void> install_packages(Progress& progress);

  SshSession session_;
  const Clock* clock_;
};

[[nodiscard]] SwarmFacts parse_swarm_facts(const ApiReply& info);

}  // namespace lab::provision
