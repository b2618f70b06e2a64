#include "netsim/sim_network.hpp"

#include <gtest/gtest.h>

namespace lab::netsim {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class SimNetworkTest : public ::testing::Test {
 protected:
  void send(SimNetwork::Endpoint from, SimNetwork::Endpoint to) {
    network_.send(from, to, 100, [this, to](const Delivery&) { ++received_[to]; });
  }
  EventQueue queue_;
  SimNetwork network_{queue_, Random(1)};
  SimNetwork::Endpoint a_ = network_.add_endpoint("a");
  SimNetwork::Endpoint b_ = network_.add_endpoint("b");
  SimNetwork::Endpoint c_ = network_.add_endpoint("c");
  std::map<SimNetwork::Endpoint, int> received_;
};

TEST_F(SimNetworkTest, DelaysEachDirectionByItsOwnQuality) {
  LinkQuality slow;
  slow.delay = milliseconds{50};
  network_.set_quality(a_, b_, slow);
  TimePoint there{};
  TimePoint back{};
  network_.send(a_, b_, 100, [&](const Delivery& delivery) {
    EXPECT_EQ(delivery.sent_at, TimePoint{});
    there = queue_.now();
    network_.send(b_, a_, 100, [&](const Delivery&) { back = queue_.now(); });
  });
  queue_.run_for(seconds{1});
  EXPECT_EQ(there, TimePoint{milliseconds{50}});
  EXPECT_EQ(back, there);
}

TEST_F(SimNetworkTest, APartitionSeparatesGroupsAndTheUnnamedAreOneMore) {
  const auto d = network_.add_endpoint("d");
  network_.partition({{a_, b_}});
  send(a_, b_);
  send(a_, c_);
  send(c_, a_);
  send(c_, d);
  queue_.run_for(seconds{1});
  EXPECT_EQ(received_[b_], 1);
  EXPECT_EQ(received_[a_], 0);
  EXPECT_EQ(received_[c_], 0);
  EXPECT_EQ(received_[d], 1);
  EXPECT_EQ(network_.counters().dropped[static_cast<std::size_t>(Drop::partition)], 2U);
  network_.heal();
  send(c_, a_);
  queue_.run_for(seconds{1});
  EXPECT_EQ(received_[a_], 1);
}

TEST_F(SimNetworkTest, ACutIsOneWayAndSurvivesAPartition) {
  network_.cut(a_, b_);
  network_.partition({{a_, b_, c_}});
  EXPECT_FALSE(network_.reachable(a_, b_));
  EXPECT_TRUE(network_.reachable(b_, a_));
  network_.join(a_, b_);
  EXPECT_TRUE(network_.reachable(a_, b_));
}

TEST_F(SimNetworkTest, MessagesUnderWayAreLostAcrossACutAndACrash) {
  LinkQuality slow;
  slow.delay = milliseconds{50};
  network_.set_default_quality(slow);
  send(a_, b_);
  queue_.run_for(milliseconds{10});
  network_.partition({{a_}, {b_}});
  queue_.run_for(seconds{1});
  EXPECT_EQ(received_[b_], 0);
  network_.heal();
  send(a_, b_);
  send(b_, a_);
  queue_.run_for(milliseconds{10});
  network_.crash(b_);
  network_.restart(b_);
  queue_.run_for(seconds{1});
  EXPECT_EQ(received_[b_], 0);
  EXPECT_EQ(received_[a_], 0);
  send(a_, b_);
  queue_.run_for(seconds{1});
  EXPECT_EQ(received_[b_], 1);
}

TEST_F(SimNetworkTest, InOrderMessagesKeepTheirOrderAndPayForLossWithTime) {
  LinkQuality bad;
  bad.delay = milliseconds{10};
  bad.jitter = milliseconds{10};
  bad.loss = 0.2;
  bad.corrupt = 0.1;
  bad.duplicate = 0.1;
  network_.set_default_quality(bad);
  std::vector<int> got;
  for (int i = 0; i < 200; ++i) {
    network_.send_in_order(a_, b_, 100, [&got, i](const Delivery& delivery) {
      EXPECT_FALSE(delivery.corrupt_bit);
      got.push_back(i);
    });
  }
  queue_.run_for(seconds{60});
  ASSERT_EQ(got.size(), 200U);
  EXPECT_TRUE(std::is_sorted(got.begin(), got.end()));
  EXPECT_EQ(network_.counters().dropped[static_cast<std::size_t>(Drop::loss)], 0U);
}

TEST_F(SimNetworkTest, AMessageInOrderThatIsAlwaysCorruptedIsGivenUp) {
  LinkQuality corrupting;
  corrupting.corrupt = 1;
  network_.set_default_quality(corrupting);
  network_.send_in_order(a_, b_, 100, [](const Delivery&) { FAIL(); });
  queue_.run_for(seconds{600});
  EXPECT_EQ(network_.counters().dropped[static_cast<std::size_t>(Drop::loss)], 1U);
}

TEST(SimNetwork, TheSameSeedGivesTheSameTraceHash) {
  const auto run = [](std::uint64_t seed) {
    EventQueue queue;
    SimNetwork network(queue, Random(seed));
    LinkQuality bad;
    bad.delay = milliseconds{10};
    bad.jitter = milliseconds{5};
    bad.loss = 0.1;
    bad.duplicate = 0.1;
    network.set_default_quality(bad);
    for (int i = 0; i < 10; ++i) network.add_endpoint(std::to_string(i));
    Random traffic = Random(seed).stream("traffic");
    for (int i = 0; i < 5000; ++i) {
      const auto from = static_cast<SimNetwork::Endpoint>(traffic.below(10));
      const auto to = static_cast<SimNetwork::Endpoint>(traffic.below(10));
      network.send(from, to, 100, [](const Delivery&) {});
      queue.run_for(milliseconds{1});
      if (i == 2000) network.partition({{0, 1, 2}, {3, 4, 5, 6, 7, 8, 9}});
      if (i == 3000) network.heal();
    }
    queue.run_for(seconds{1});
    return network.trace_hash();
  };
  EXPECT_EQ(run(1), run(1));
  EXPECT_NE(run(1), run(2));
}

}  // namespace
}  // namespace lab::netsim
