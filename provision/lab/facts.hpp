// What a person would look for after an experiment: a lab's containers, services, nodes and files
// at one moment, small enough to keep, and the difference between two moments.
#pragma once

#include <boost/json/object.hpp>
#include <map>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "provision/node/node.hpp"

namespace lab::provision {

// By name, each described in a few words that are equal when nothing has changed.
using Described = std::map<std::string, std::string>;

struct LabFacts {
  Described nodes;                              // of the swarm
  Described services;                           // likewise
  std::map<std::string, Described> containers;  // by machine
  std::map<std::string, Described> files;       // by machine; "CTIME SIZE MODE"
};

// Asks all machines beside each other; blocks. Without the agent's and the engine's own stores,
// whose contents are the nodes, services and containers.
[[nodiscard]] Result<LabFacts> collect_facts(std::map<std::string, Node>& nodes);

// The swarm's nodes, as a manager describes them; empty when it is none, or has no leader now.
[[nodiscard]] Result<Described> swarm_nodes(Node& manager);

[[nodiscard]] boost::json::object to_json(const LabFacts& facts);
[[nodiscard]] LabFacts facts_from_json(const boost::json::object& object);

struct Change {
  std::string where;  // a machine, or "swarm"
  std::string kind;   // "node", "service", "container", "file"
  std::string name;
  std::string before;  // empty: added
  std::string after;   // empty: removed
};
// Ordered by machine, kind and name, the swarm first.
[[nodiscard]] std::vector<Change> compare(const LabFacts& before, const LabFacts& after);

}  // namespace lab::provision
