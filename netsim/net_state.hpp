// What the lab's network is told to be: the links' defaults from the labfile, what was set live on
// top of them, and the partition. Free of I/O; the control API changes it and the switch follows.
#pragma once

#include <boost/json/object.hpp>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/error.hpp"
#include "netsim/daemon_config.hpp"
#include "netsim/switch.hpp"

namespace lab::netsim {

class NetState {
 public:
  using Groups = std::vector<std::vector<std::string>>;

  // Machines and defaults anew. What was set live stays for the machines that are still there, and
  // so does the partition.
  [[nodiscard]] Result<void> configure(const std::vector<MachinePort>& ports,
                                       const std::vector<LinkRule>& defaults);

  // Merges into what is set. All rules are applied or, on an error (Code::not_found for a machine
  // that the lab lacks), none.
  [[nodiscard]] Result<void> set(const std::vector<LinkRule>& rules);
  // These links, or with no rules all, are as the labfile has them again.
  [[nodiscard]] Result<void> reset(const std::vector<LinkRule>& rules);
  // Machines reach those of their own group only; those that no group names are one group more.
  // Replaces an earlier partition.
  [[nodiscard]] Result<void> partition(Groups groups);
  void heal() { groups_.clear(); }
  // [["vm1"],["vm2","vm3"]].
  [[nodiscard]] static Result<Groups> parse_groups(const boost::json::value& value);

  [[nodiscard]] const std::vector<std::string>& machines() const { return machines_; }
  [[nodiscard]] LinkSetting link(const std::string& from, const std::string& to) const;
  [[nodiscard]] const LinkQuality& default_quality(const std::string& from,
                                                   const std::string& to) const;
  // Every machine in its group; empty when there is no partition.
  [[nodiscard]] const Groups& groups() const { return groups_; }
  // Whether nothing was changed since configure().
  [[nodiscard]] bool pristine() const { return live_.empty() && groups_.empty(); }

  // What was changed live, for restore() by the next process: {"links":[...],"partition":[...]}.
  [[nodiscard]] boost::json::object save() const;
  // Leaves out what no longer fits the machines.
  [[nodiscard]] Result<void> restore(const boost::json::value& saved);

 private:
  using Pair = std::pair<std::string, std::string>;  // from, to

  [[nodiscard]] Result<std::vector<Pair>> pairs_of(const LinkRule& rule) const;
  [[nodiscard]] Result<void> check_machine(std::string_view machine) const;
  [[nodiscard]] bool has(std::string_view machine) const;
  [[nodiscard]] bool reachable(const std::string& from, const std::string& to) const;

  std::vector<std::string> machines_;
  std::map<Pair, LinkQuality> defaults_;      // every pair
  std::map<Pair, boost::json::object> live_;  // keys that were set, over the defaults
  Groups groups_;
};

}  // namespace lab::netsim
