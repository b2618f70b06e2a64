#include "provision/lab/facts.hpp"

#include <gtest/gtest.h>

namespace lab::provision {
namespace {

LabFacts some_facts() {
  LabFacts facts;
  facts.nodes = {{"vm1", "ready, active, manager, leader"}, {"vm2", "ready, active, worker"}};
  facts.services = {{"web", "nginx, 2 replicas, version 7"}};
  facts.containers = {{"vm1", {{"one", "0123456789ab nginx running"}}}, {"vm2", {}}};
  facts.files = {{"vm1", {{"/etc/hosts", "1.5 100 644"}, {"/root/a b", "2.5 3 600"}}}, {"vm2", {}}};
  return facts;
}

std::vector<std::string> words_of(const std::vector<Change>& changes) {
  std::vector<std::string> words;
  for (const Change& change : changes) {
    words.push_back(fmt::format("{} {} {}: {} > {}", change.where, change.kind, change.name,
                                change.before, change.after));
  }
  return words;
}

TEST(LabFacts, AreTheSameAfterTheWayThroughJson) {
  const LabFacts facts = some_facts();
  EXPECT_TRUE(compare(facts, facts_from_json(to_json(facts))).empty());
  EXPECT_TRUE(compare(facts_from_json(to_json(facts)), facts).empty());
}

TEST(LabFacts, EveryKindOfChangeIsTold) {
  const LabFacts before = some_facts();
  LabFacts after = before;
  after.nodes["vm2"] = "down, active, worker";
  after.services.clear();
  after.containers["vm2"]["two"] = "cdef busybox exited";
  after.files["vm1"]["/etc/hosts"] = "9.5 101 644";
  after.files["vm1"].erase("/root/a b");
  const std::vector<std::string> expected{
      "swarm node vm2: ready, active, worker > down, active, worker",
      "swarm service web: nginx, 2 replicas, version 7 > ",
      "vm1 file /etc/hosts: 1.5 100 644 > 9.5 101 644", "vm1 file /root/a b: 2.5 3 600 > ",
      "vm2 container two:  > cdef busybox exited"};
  EXPECT_EQ(words_of(compare(before, after)), expected);
}

TEST(LabFacts, AMachineThatCameOrWentIsOneChange) {
  LabFacts without = some_facts();
  without.files.erase("vm1");
  without.containers.erase("vm1");
  EXPECT_EQ(words_of(compare(some_facts(), without)),
            (std::vector<std::string>{"vm1 machine vm1: there > "}));
  EXPECT_EQ(words_of(compare(without, some_facts())),
            (std::vector<std::string>{"vm1 machine vm1:  > there"}));
}

}  // namespace
}  // namespace lab::provision
