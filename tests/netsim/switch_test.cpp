#include "netsim/switch.hpp"

#include <gtest/gtest.h>

#include "tests/netsim/fake_nic.hpp"

namespace lab::netsim {
namespace {

using std::chrono::milliseconds;

constexpr int silence_ms = 60;

class SwitchTest : public ::testing::Test {
 protected:
  SwitchTest() {
    EXPECT_TRUE(switch_.set_ports({vm1_.port(), vm2_.port(), vm3_.port()}));
    EXPECT_TRUE(switch_.start());
  }
  // Every machine's address is known to the switch afterwards.
  void introduce() {
    for (FakeNic* nic : {&vm1_, &vm2_, &vm3_}) {
      nic->send(nullptr, "hello");
      for (FakeNic* other : {&vm1_, &vm2_, &vm3_}) {
        if (other != nic) {
          EXPECT_EQ(other->receive(), "hello");
        }
      }
    }
  }
  void set_link(const std::string& from, const std::string& to, const LinkSetting& setting) {
    switch_.set_links([&](const std::string& a, const std::string& b) {
      return a == from && b == to ? setting : LinkSetting{};
    });
  }
  LinkCounters counters(const std::string& from, const std::string& to) {
    for (const auto& report : switch_.links()) {
      if (report.from == from && report.to == to) return report.counters;
    }
    return {};
  }
  std::uint64_t dropped(const std::string& from, const std::string& to, Drop drop) {
    return counters(from, to).dropped[static_cast<std::size_t>(drop)];
  }

  SystemClock clock_;
  Switch switch_{clock_, Random(1)};
  FakeNic vm1_{"vm1", 1};
  FakeNic vm2_{"vm2", 2};
  FakeNic vm3_{"vm3", 3};
};

TEST_F(SwitchTest, BroadcastsReachAllAndUnicastOnlyItsReceiver) {
  introduce();
  vm1_.send(&vm2_, "for vm2");
  EXPECT_EQ(vm2_.receive(), "for vm2");
  EXPECT_EQ(vm3_.receive(silence_ms), std::nullopt);
  EXPECT_EQ(counters("vm1", "vm2").frames, 2U);
  EXPECT_EQ(counters("vm1", "vm3").frames, 1U);
}

TEST_F(SwitchTest, FramesOfStrangersAreNotTaken) {
  introduce();
  const FakeNic stranger("stranger", 9);
  FakeNic pretender("vm1", 1);
  vm1_.send(&vm2_, "first");
  EXPECT_EQ(vm2_.receive(), "first");
  // Sends to vm1's port of the switch from a socket that is not vm1's card.
  const Fd fd(socket(AF_INET, SOCK_DGRAM, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(vm1_.switch_port());
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const std::string bytes = vm2_.mac() + vm1_.mac() + std::string("\x08\x00", 2) + "forged";
  (void)sendto(fd.get(), bytes.data(), bytes.size(), 0, reinterpret_cast<sockaddr*>(&address),
               sizeof address);
  EXPECT_EQ(vm2_.receive(silence_ms), std::nullopt);
}

TEST_F(SwitchTest, DelaysOneDirectionAndNotTheOther) {
  introduce();
  LinkSetting slow;
  slow.quality.delay = milliseconds{80};
  set_link("vm1", "vm2", slow);
  const TimePoint start = clock_.now();
  vm1_.send(&vm2_, "slow");
  EXPECT_EQ(vm2_.receive(), "slow");
  const Duration there = clock_.now() - start;
  EXPECT_GE(there, milliseconds{80});
  EXPECT_LT(there, milliseconds{1000});
  const TimePoint back = clock_.now();
  vm2_.send(&vm1_, "fast");
  EXPECT_EQ(vm1_.receive(), "fast");
  EXPECT_LT(clock_.now() - back, milliseconds{70});
}

TEST_F(SwitchTest, LosesDoublesAndCorruptsAsItIsTold) {
  introduce();
  LinkSetting lossy;
  lossy.quality.loss = 1;
  set_link("vm1", "vm2", lossy);
  vm1_.send(&vm2_, "lost");
  EXPECT_EQ(vm2_.receive(silence_ms), std::nullopt);
  EXPECT_EQ(dropped("vm1", "vm2", Drop::loss), 1U);
  LinkSetting doubling;
  doubling.quality.duplicate = 1;
  set_link("vm1", "vm2", doubling);
  vm1_.send(&vm2_, "twice");
  EXPECT_EQ(vm2_.receive(), "twice");
  EXPECT_EQ(vm2_.receive(), "twice");
  LinkSetting corrupting;
  corrupting.quality.corrupt = 1;
  set_link("vm1", "vm2", corrupting);
  const std::string payload(1000, 'x');
  int changed = 0;
  for (int i = 0; i < 20; ++i) {
    vm1_.send(&vm2_, payload);
    const auto got = vm2_.receive();
    ASSERT_TRUE(got);
    if (*got != payload) ++changed;  // the bit may also lie in the header
  }
  EXPECT_GT(changed, 15);
  EXPECT_EQ(counters("vm1", "vm2").corrupted, 20U);
}

TEST_F(SwitchTest, APartitionCutsAndAHealJoins) {
  introduce();
  switch_.set_links([](const std::string& from, const std::string& to) {
    return LinkSetting{{}, from != "vm1" && to != "vm1"};
  });
  vm1_.send(&vm2_, "cut");
  vm2_.send(&vm1_, "cut");
  vm2_.send(&vm3_, "through");
  EXPECT_EQ(vm3_.receive(), "through");
  EXPECT_EQ(vm2_.receive(silence_ms), std::nullopt);
  EXPECT_EQ(vm1_.receive(silence_ms), std::nullopt);
  EXPECT_EQ(dropped("vm1", "vm2", Drop::partition), 1U);
  switch_.set_links([](const std::string&, const std::string&) { return LinkSetting{}; });
  vm1_.send(&vm2_, "healed");
  EXPECT_EQ(vm2_.receive(), "healed");
}

TEST_F(SwitchTest, SurvivesAMachineThatIsGoneAndSendsToItAgainWhenItIsBack) {
  introduce();
  vm2_.unplug();
  for (int i = 0; i < 20; ++i) {
    vm1_.send(&vm2_, "nobody home");
    vm1_.send(&vm3_, "still here");
    EXPECT_EQ(vm3_.receive(), "still here");
  }
  EXPECT_GE(dropped("vm1", "vm2", Drop::down), 19U);
  EXPECT_LE(counters("vm1", "vm2").frames, 2U);  // the first hello, perhaps the last
  vm2_.plug();
  vm1_.send(&vm2_, "back");
  EXPECT_EQ(vm2_.receive(), "back");
}

TEST_F(SwitchTest, CarriesJumboFramesAndDropsRuntsAndOversize) {
  introduce();
  const std::string jumbo(9000, 'j');
  vm1_.send(&vm2_, jumbo);
  EXPECT_EQ(vm2_.receive(), jumbo);
  vm1_.send_raw("runt");
  vm1_.send_raw("");
  vm1_.send(&vm2_, std::string(20'000, 'o'));
  vm1_.send(&vm2_, "after");
  EXPECT_EQ(vm2_.receive(), "after");
  EXPECT_EQ(switch_.ports()[0].counters.malformed, 3U);
}

TEST_F(SwitchTest, ABurstArrivesWholeAndInOrderThroughADelay) {
  introduce();
  LinkSetting slow;
  slow.quality.delay = milliseconds{20};
  for (const LinkSetting& setting : {LinkSetting{}, slow}) {
    set_link("vm1", "vm2", setting);
    for (int i = 0; i < 150; ++i) vm1_.send(&vm2_, std::to_string(i));
    for (int i = 0; i < 150; ++i) {
      ASSERT_EQ(vm2_.receive(), std::to_string(i));
    }
  }
}

TEST_F(SwitchTest, NewPortsLeaveTheOldOnesTheirStateAndATakenPortChangesNothing) {
  introduce();
  FakeNic vm4("vm4", 4);
  ASSERT_TRUE(switch_.set_ports({vm1_.port(), vm2_.port(), vm4.port()}));
  EXPECT_EQ(counters("vm1", "vm2").frames, 1U);
  vm4.send(&vm1_, "new");
  EXPECT_EQ(vm1_.receive(), "new");
  vm1_.send(nullptr, "all");
  EXPECT_EQ(vm2_.receive(), "all");
  EXPECT_EQ(vm4.receive(), "all");
  EXPECT_EQ(vm3_.receive(silence_ms), std::nullopt);

  const auto taken = switch_.set_ports({{"vm9", vm1_.nic_port(), vm2_.nic_port()}});
  ASSERT_FALSE(taken);
  EXPECT_EQ(taken.error().code, Code::conflict);
  EXPECT_NE(taken.error().message.find("vm9"), std::string::npos);
  vm4.send(&vm2_, "still");
  EXPECT_EQ(vm2_.receive(), "still");
}

TEST_F(SwitchTest, APortMayChangeItsCardAndFramesUnderWayToItAreForgotten) {
  introduce();
  LinkSetting slow;
  slow.quality.delay = milliseconds{50};
  set_link("vm1", "vm2", slow);
  vm1_.send(&vm2_, "under way");
  vm1_.send(&vm3_, "order");
  EXPECT_EQ(vm3_.receive(), "order");
  const FakeNic other("vm2", 2);
  ASSERT_TRUE(
      switch_.set_ports({vm1_.port(), {"vm2", vm2_.switch_port(), other.nic_port()}, vm3_.port()}));
  EXPECT_EQ(vm2_.receive(silence_ms), std::nullopt);
  EXPECT_EQ(other.receive(silence_ms), std::nullopt);
  vm1_.send(nullptr, "to the new card");
  EXPECT_EQ(other.receive(), "to the new card");
}

TEST_F(SwitchTest, NoFrameMovesWhileItIsPausedAndDelaysGoOnAfterwards) {
  introduce();
  LinkSetting slow;
  slow.quality.delay = milliseconds{50};
  set_link("vm1", "vm2", slow);
  vm1_.send(&vm2_, "under way");
  vm1_.send(&vm3_, "order");
  EXPECT_EQ(vm3_.receive(), "order");
  switch_.pause();
  switch_.pause();
  vm1_.send(&vm3_, "waits");
  EXPECT_EQ(vm2_.receive(silence_ms), std::nullopt);
  EXPECT_EQ(vm3_.receive(silence_ms), std::nullopt);
  switch_.resume(false);
  EXPECT_EQ(vm2_.receive(), "under way");
  EXPECT_EQ(vm3_.receive(), "waits");
}

TEST_F(SwitchTest, FramesOfMachinesThatAreNoMoreAreThrownAway) {
  introduce();
  LinkSetting slow;
  slow.quality.delay = milliseconds{50};
  set_link("vm1", "vm2", slow);
  vm1_.send(&vm2_, "under way");
  vm1_.send(&vm3_, "order");
  EXPECT_EQ(vm3_.receive(), "order");
  switch_.pause();
  vm1_.send(&vm3_, "stale");
  switch_.resume(true);
  vm1_.send(&vm3_, "new");
  EXPECT_EQ(vm3_.receive(), "new");
  EXPECT_EQ(vm2_.receive(silence_ms), std::nullopt);
}

}  // namespace
}  // namespace lab::netsim
