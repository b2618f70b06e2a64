#include "netsim/net_state.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <set>

#include "netsim/json_fields.hpp"

namespace lab::netsim {

Result<NetState::Groups> NetState::parse_groups(const boost::json::value& value) {
  const auto* list = value.if_array();
  if (list == nullptr) return JsonFields::mismatch("groups", value, "an array");
  NetState::Groups groups;
  for (std::size_t i = 0; i < list->size(); ++i) {
    const auto* names = (*list)[i].if_array();
    if (names == nullptr) {
      return JsonFields::mismatch(fmt::format("groups[{}]", i), (*list)[i], "an array");
    }
    auto& group = groups.emplace_back();
    for (std::size_t j = 0; j < names->size(); ++j) {
      const auto* name = (*names)[j].if_string();
      if (name == nullptr) {
        return JsonFields::mismatch(fmt::format("groups[{}][{}]", i, j), (*names)[j], "a string");
      }
      group.emplace_back(*name);
    }
  }
  return groups;
}

bool NetState::has(std::string_view machine) const {
  return std::find(machines_.begin(), machines_.end(), machine) != machines_.end();
}

Result<void> NetState::check_machine(std::string_view machine) const {
  if (has(machine)) return {};
  return make_error(Code::not_found, "no machine \"{}\" in this lab; there are {}", machine,
                    fmt::join(machines_, ", "));
}

Result<std::vector<NetState::Pair>> NetState::pairs_of(const LinkRule& rule) const {
  for (const std::string& machine : {rule.from, rule.to}) {
    if (machine != "*") LAB_CHECK(check_machine(machine));
  }
  std::vector<Pair> pairs;
  for (const std::string& from : machines_) {
    if (rule.from != "*" && rule.from != from) continue;
    for (const std::string& to : machines_) {
      if ((rule.to == "*" || rule.to == to) && from != to) pairs.emplace_back(from, to);
    }
  }
  return pairs;
}

Result<void> NetState::configure(const std::vector<MachinePort>& ports,
                                 const std::vector<LinkRule>& defaults) {
  NetState next;
  for (const MachinePort& port : ports) next.machines_.push_back(port.machine);
  for (const std::string& from : next.machines_) {
    for (const std::string& to : next.machines_) {
      if (from != to) next.defaults_[{from, to}] = {};
    }
  }
  for (const LinkRule& rule : defaults) {
    LAB_TRY(const auto pairs, next.pairs_of(rule));
    for (const Pair& pair : pairs) {
      if (auto merged = merge_json(next.defaults_[pair], rule.quality); !merged) {
        return merged.error().wrap("link {}->{}", rule.from, rule.to);
      }
    }
  }
  LAB_CHECK(next.restore(save()));
  *this = std::move(next);
  return {};
}

const LinkQuality& NetState::default_quality(const std::string& from, const std::string& to) const {
  return defaults_.at({from, to});
}

LinkSetting NetState::link(const std::string& from, const std::string& to) const {
  LinkSetting setting{default_quality(from, to), reachable(from, to)};
  if (const auto live = live_.find({from, to}); live != live_.end()) {
    // The values were checked one by one when they were set. New defaults below them can leave a
    // jitter without a delay, which the link model can do.
    for (const auto& [key, value] : live->second) {
      (void)set_quality(setting.quality, key, value.get_string());
    }
  }
  return setting;
}

Result<void> NetState::set(const std::vector<LinkRule>& rules) {
  NetState next = *this;
  for (const LinkRule& rule : rules) {
    LAB_TRY(const auto pairs, pairs_of(rule));
    for (const Pair& pair : pairs) {
      LinkQuality quality = next.link(pair.first, pair.second).quality;
      if (auto merged = merge_json(quality, rule.quality); !merged) {
        return merged.error().wrap("{}->{}", pair.first, pair.second);
      }
      for (const auto& [key, value] : rule.quality) next.live_[pair][key] = value;
    }
  }
  live_ = std::move(next.live_);
  return {};
}

Result<void> NetState::reset(const std::vector<LinkRule>& rules) {
  if (rules.empty()) {
    live_.clear();
    return {};
  }
  std::vector<Pair> all;
  for (const LinkRule& rule : rules) {
    LAB_TRY(const auto pairs, pairs_of(rule));
    all.insert(all.end(), pairs.begin(), pairs.end());
  }
  for (const Pair& pair : all) live_.erase(pair);
  return {};
}

Result<void> NetState::partition(Groups groups) {
  std::set<std::string, std::less<>> seen;
  for (const auto& group : groups) {
    if (group.empty()) {
      return make_error(Code::invalid_argument, "a group of the partition names no machine");
    }
    for (const std::string& machine : group) {
      LAB_CHECK(check_machine(machine));
      if (!seen.insert(machine).second) {
        return make_error(Code::invalid_argument, "machine \"{}\" is named twice in the partition",
                          machine);
      }
    }
  }
  std::vector<std::string> rest;
  for (const std::string& machine : machines_) {
    if (!seen.contains(machine)) rest.push_back(machine);
  }
  if (!rest.empty()) groups.push_back(std::move(rest));
  if (groups.size() < 2) {
    return make_error(Code::invalid_argument,
                      "the partition has one group with every machine: it would cut nothing");
  }
  groups_ = std::move(groups);
  return {};
}

bool NetState::reachable(const std::string& from, const std::string& to) const {
  if (groups_.empty()) return true;
  const auto holds = [](const auto& group, const std::string& machine) {
    return std::find(group.begin(), group.end(), machine) != group.end();
  };
  return std::any_of(groups_.begin(), groups_.end(),
                     [&](const auto& group) { return holds(group, from) && holds(group, to); });
}

boost::json::object NetState::save() const {
  boost::json::array links;
  for (const auto& [pair, quality] : live_) {
    boost::json::object link{{"from", pair.first}, {"to", pair.second}};
    for (const auto& [key, value] : quality) link[key] = value;
    links.push_back(std::move(link));
  }
  boost::json::array partition;
  for (const auto& group : groups_) {
    partition.push_back(boost::json::array(group.begin(), group.end()));
  }
  return {{"links", std::move(links)}, {"partition", std::move(partition)}};
}

Result<void> NetState::restore(const boost::json::value& saved) {
  LAB_TRY(JsonFields fields, JsonFields::of(saved, ""));
  LAB_TRY(const auto* links, fields.array("links"));
  for (std::size_t i = 0; links != nullptr && i < links->size(); ++i) {
    LAB_TRY(const auto rule,
            parse_link_rule((*links)[i], fmt::format("links[{}]", i), RuleProperties::some));
    if (has(rule.from) && has(rule.to)) live_[{rule.from, rule.to}] = rule.quality;
  }
  const auto* partition = fields.find("partition");
  if (partition == nullptr) return {};
  LAB_TRY(auto groups, parse_groups(*partition));
  for (auto& group : groups) {
    std::erase_if(group, [this](const std::string& machine) { return !has(machine); });
  }
  std::erase_if(groups, [](const auto& group) { return group.empty(); });
  if (groups.size() > 1) LAB_CHECK(this->partition(std::move(groups)));
  return {};
}

}  // namespace lab::netsim
