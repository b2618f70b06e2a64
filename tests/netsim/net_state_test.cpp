#include "netsim/net_state.hpp"

#include <gtest/gtest.h>

#include <boost/json/parse.hpp>

namespace lab::netsim {
namespace {

LinkRule rule(const std::string& from, const std::string& to, const char* quality) {
  return {from, to, boost::json::parse(quality).as_object()};
}

std::vector<MachinePort> machines(const std::vector<std::string>& names) {
  std::vector<MachinePort> ports;
  for (const std::string& name : names) ports.push_back({name, "", "", 0, 0});
  return ports;
}

class NetStateTest : public ::testing::Test {
 protected:
  NetStateTest() {
    EXPECT_TRUE(state_.configure(
        machines({"vm1", "vm2", "vm3"}),
        {rule("*", "*", R"({"delay":"1ms"})"), rule("vm1", "vm2", R"({"loss":"1%"})")}));
  }
  std::string quality(const std::string& from, const std::string& to) {
    return to_string(state_.link(from, to).quality);
  }
  NetState state_;
};

TEST_F(NetStateTest, DefaultsMergeInTheirOrder) {
  EXPECT_EQ(quality("vm1", "vm2"), "delay 1ms loss 1%");
  EXPECT_EQ(quality("vm2", "vm1"), "delay 1ms");
  EXPECT_TRUE(state_.pristine());
}

TEST_F(NetStateTest, SetMergesOverTheDefaultsAndResetReturnsToThem) {
  ASSERT_TRUE(state_.set({rule("vm1", "*", R"({"rate":"10mbit"})")}));
  ASSERT_TRUE(state_.set({rule("vm1", "vm2", R"({"loss":"0%","delay":"2ms"})")}));
  EXPECT_EQ(quality("vm1", "vm2"), "delay 2ms rate 10mbit");
  EXPECT_EQ(quality("vm1", "vm3"), "delay 1ms rate 10mbit");
  EXPECT_EQ(quality("vm3", "vm1"), "delay 1ms");
  EXPECT_EQ(to_string(state_.default_quality("vm1", "vm2")), "delay 1ms loss 1%");
  ASSERT_TRUE(state_.reset({rule("vm1", "vm2", "{}")}));
  EXPECT_EQ(quality("vm1", "vm2"), "delay 1ms loss 1%");
  EXPECT_EQ(quality("vm1", "vm3"), "delay 1ms rate 10mbit");
  ASSERT_TRUE(state_.reset({}));
  EXPECT_TRUE(state_.pristine());
}

TEST_F(NetStateTest, ASetWithOneBadRuleChangesNothing) {
  const auto unknown = state_.set(
      {rule("vm1", "vm2", R"({"loss":"50%"})"), rule("vm1", "vm9", R"({"loss":"50%"})")});
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().code, Code::not_found);
  EXPECT_EQ(unknown.error().message, "no machine \"vm9\" in this lab; there are vm1, vm2, vm3");
  const auto impossible = state_.set({rule("vm1", "vm3", R"({"loss":"50%"})"),
                                      rule("vm2", "vm3", R"({"delay":"0ms","jitter":"1ms"})")});
  ASSERT_FALSE(impossible);
  EXPECT_EQ(impossible.error().message,
            "vm2->vm3: jitter is \"1ms\" but delay is 0: jitter needs a delay, as in \"delay "
            "10ms\"");
  EXPECT_TRUE(state_.pristine());
}

TEST_F(NetStateTest, MachinesThatAPartitionDoesNotNameAreOneGroupMore) {
  ASSERT_TRUE(state_.partition({{"vm1"}}));
  EXPECT_FALSE(state_.link("vm1", "vm2").reachable);
  EXPECT_FALSE(state_.link("vm3", "vm1").reachable);
  EXPECT_TRUE(state_.link("vm2", "vm3").reachable);
  EXPECT_EQ(state_.groups(), (NetState::Groups{{"vm1"}, {"vm2", "vm3"}}));
  state_.heal();
  EXPECT_TRUE(state_.link("vm1", "vm2").reachable);
}

TEST_F(NetStateTest, AnImpossiblePartitionIsRefusedAndChangesNothing) {
  ASSERT_TRUE(state_.partition({{"vm3"}}));
  const auto refused = [&](NetState::Groups groups) {
    const auto result = state_.partition(std::move(groups));
    EXPECT_FALSE(result);
    return result ? "" : result.error().message;
  };
  EXPECT_EQ(refused({{"vm1"}, {"vm1", "vm2"}}), "machine \"vm1\" is named twice in the partition");
  EXPECT_EQ(refused({{"vm1"}, {}}), "a group of the partition names no machine");
  EXPECT_EQ(refused({{"vm1", "vm2", "vm3"}}),
            "the partition has one group with every machine: it would cut nothing");
  EXPECT_EQ(refused({}), "the partition has one group with every machine: it would cut nothing");
  EXPECT_NE(refused({{"vm7"}}), "");
  EXPECT_EQ(state_.groups(), (NetState::Groups{{"vm3"}, {"vm1", "vm2"}}));
}

TEST_F(NetStateTest, ANewConfigurationKeepsWhatWasSetLiveForMachinesThatStay) {
  ASSERT_TRUE(state_.set(
      {rule("vm1", "vm2", R"({"rate":"1mbit"})"), rule("vm1", "vm3", R"({"rate":"2mbit"})")}));
  ASSERT_TRUE(state_.partition({{"vm1"}, {"vm2"}, {"vm3"}}));
  ASSERT_TRUE(state_.configure(machines({"vm1", "vm2", "vm4"}), {}));
  EXPECT_EQ(quality("vm1", "vm2"), "rate 1mbit");
  EXPECT_EQ(quality("vm1", "vm4"), "perfect");
  EXPECT_EQ(state_.groups(), (NetState::Groups{{"vm1"}, {"vm2"}, {"vm4"}}));
}

TEST_F(NetStateTest, WhatIsSavedRestoresTheSame) {
  ASSERT_TRUE(state_.set({rule("vm1", "*", R"({"rate":"1mbit","jitter":"1ms"})")}));
  ASSERT_TRUE(state_.partition({{"vm2"}}));
  NetState other;
  ASSERT_TRUE(other.configure(machines({"vm1", "vm2", "vm3"}), {}));
  ASSERT_TRUE(other.restore(state_.save()));
  EXPECT_EQ(other.save(), state_.save());
  EXPECT_FALSE(other.restore(boost::json::parse(R"({"links":[{"from":"vm1"}]})")));
  EXPECT_FALSE(other.restore(boost::json::parse(R"({"partition":7})")));
}

}  // namespace
}  // namespace lab::netsim
