// What must hold at every step of a simulated swarm, whatever goes wrong, and what must hold once
// nothing goes wrong any more. The first violation is kept.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "swarm/sim/world.hpp"

namespace lab::swarm::sim {

// The ledger of what clients were told, and the checks against it.
class Checker final : public World::Observer {
 public:
  // World::Observer
  void stepped(std::size_t index, const Node& node, const Effects& effects,
               const Certificate* from) override;
  void stopped(std::size_t index) override { seen_.erase(index); }
  void failed(std::string violation) override;

  // A label of a node was written with a number larger than those before it.
  void label_acknowledged(const std::string& node_id, const std::string& key, std::uint64_t value);
  // From here on nobody may assume that the node is still in the swarm...
  void removal_attempted(const std::string& node_id) { perhaps_removed_.insert(node_id); }
  // ... and from here on nobody may let it in.
  void removal_acknowledged(const std::string& node_id) { removed_.insert(node_id); }
  [[nodiscard]] bool perhaps_removed(const std::string& node_id) const {
    return perhaps_removed_.contains(node_id);
  }
  [[nodiscard]] const std::set<std::string>& removed() const { return removed_; }

  // Empty when all nodes of the swarm agree, are Ready and have the roles asked for; otherwise what
  // is still missing.
  [[nodiscard]] static std::string not_converged(const World& world);
  // The last look, after convergence.
  void check_end(const World& world);

  [[nodiscard]] const std::optional<std::string>& violation() const { return violation_; }
  [[nodiscard]] std::size_t terms_led() const { return leaders_.size(); }
  [[nodiscard]] std::uint64_t refusals() const { return refusals_; }

 private:
  struct Seen {
    std::uint64_t version = 0;
    bool leading = false;
  };

  void check_leader(std::size_t index, const Node& node);
  void check_store(std::size_t index, const Node& node, Seen& seen);
  void check_refusal(std::size_t index, const Node& node, const Effects& effects,
                     const Certificate& from);
  void check_acknowledged(std::size_t index, const store::Store& store);

  std::optional<std::string> violation_;
  std::map<std::uint64_t, std::uint64_t> leaders_;  // term -> Raft id
  std::map<std::uint64_t, std::string> history_;    // store version -> what it changed
  std::map<std::size_t, Seen> seen_;
  std::map<std::pair<std::string, std::string>, std::uint64_t> labels_;  // (node, key) -> value
  std::set<std::string> perhaps_removed_;
  std::set<std::string> removed_;
  std::uint64_t refusals_ = 0;
};

// Of a store, whatever order its maps have.
[[nodiscard]] std::string store_digest(const store::Store& store);

}  // namespace lab::swarm::sim
