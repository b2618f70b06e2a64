#include "netsim/bridge.hpp"

#include <gtest/gtest.h>

namespace lab::netsim {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

using Frame = std::vector<unsigned char>;

Frame frame(Mac to, Mac from, std::size_t size = 60) {
  Frame bytes(size);
  for (std::size_t i = 0; i < 6 && i < size; ++i) {
    bytes[i] = static_cast<unsigned char>(to >> (40 - 8 * i));
  }
  for (std::size_t i = 0; i < 6 && i + 6 < size; ++i) {
    bytes[i + 6] = static_cast<unsigned char>(from >> (40 - 8 * i));
  }
  return bytes;
}

constexpr Mac broadcast = 0xffffffffffff;
constexpr Mac mac(unsigned machine) { return 0x525400000000 + machine; }

class BridgeTest : public ::testing::Test {
 protected:
  BridgeTest() {
    bridge_.grow(4);
    for (PortIndex port = 0; port < 4; ++port) bridge_.set_used(port, true);
  }
  std::vector<PortIndex> forward(PortIndex from, const Frame& bytes) {
    std::vector<Bridge::Output> outputs;
    bridge_.forward(now_, from, bytes, outputs);
    std::vector<PortIndex> ports;
    for (const auto& output : outputs) ports.push_back(output.to);
    return ports;
  }
  using Ports = std::vector<PortIndex>;
  Bridge bridge_{Random(1)};
  TimePoint now_{seconds{1000}};
};

TEST_F(BridgeTest, FloodsWhatItDoesNotKnowAndSendsToOnePortWhatItLearned) {
  EXPECT_EQ(forward(0, frame(mac(1), mac(0))), (Ports{1, 2, 3}));
  EXPECT_EQ(forward(1, frame(mac(0), mac(1))), (Ports{0}));
  EXPECT_EQ(forward(0, frame(mac(1), mac(0))), (Ports{1}));
  EXPECT_EQ(forward(0, frame(broadcast, mac(0))), (Ports{1, 2, 3}));
  EXPECT_EQ(forward(0, frame(0x01005e000001, mac(0))), (Ports{1, 2, 3}));
}

TEST_F(BridgeTest, AFrameForItsOwnPortGoesNowhere) {
  forward(0, frame(broadcast, mac(7)));
  EXPECT_EQ(forward(0, frame(mac(7), mac(0))), (Ports{}));
}

TEST_F(BridgeTest, AnAddressThatMovesIsFoundAtItsNewPortAtOnce) {
  forward(0, frame(broadcast, mac(5)));
  forward(1, frame(broadcast, mac(5)));
  EXPECT_EQ(forward(2, frame(mac(5), mac(2))), (Ports{1}));
  forward(0, frame(broadcast, mac(5)));
  EXPECT_EQ(forward(2, frame(mac(5), mac(2))), (Ports{0}));
}

TEST_F(BridgeTest, AnAddressIsForgottenAfterFiveMinutesOfSilence) {
  forward(0, frame(broadcast, mac(5)));
  now_ += seconds{299};
  EXPECT_EQ(forward(2, frame(mac(5), mac(2))), (Ports{0}));
  now_ += seconds{2};
  EXPECT_EQ(forward(2, frame(mac(5), mac(2))), (Ports{0, 1, 3}));
}

TEST_F(BridgeTest, APortOutOfUseGetsNothingAndItsAddressesAreForgotten) {
  forward(3, frame(broadcast, mac(3)));
  bridge_.set_used(3, false);
  EXPECT_EQ(forward(0, frame(mac(3), mac(0))), (Ports{1, 2}));
}

TEST_F(BridgeTest, RuntsOversizeAndImpossibleSendersAreCountedAsMalformed) {
  EXPECT_EQ(forward(0, Frame{}), (Ports{}));
  EXPECT_EQ(forward(0, Frame(13)), (Ports{}));
  EXPECT_EQ(forward(0, frame(broadcast, mac(0), frame_bytes_max + 1)), (Ports{}));
  EXPECT_EQ(forward(0, frame(mac(1), broadcast)), (Ports{}));
  EXPECT_EQ(forward(0, frame(mac(1), 0)), (Ports{}));
  EXPECT_EQ(bridge_.counters(0).malformed, 5U);
  EXPECT_EQ(bridge_.counters(0).frames, 0U);
  EXPECT_EQ(forward(0, frame(broadcast, mac(0), 14)).size(), 3U);
  EXPECT_EQ(forward(0, frame(broadcast, mac(0), frame_bytes_max)).size(), 3U);
}

TEST_F(BridgeTest, AnUnreachableDirectionDropsAndTheOtherDoesNot) {
  forward(0, frame(broadcast, mac(0)));
  forward(1, frame(broadcast, mac(1)));
  bridge_.set_reachable(0, 1, false);
  EXPECT_EQ(forward(0, frame(mac(1), mac(0))), (Ports{}));
  EXPECT_EQ(forward(1, frame(mac(0), mac(1))), (Ports{0}));
  EXPECT_EQ(bridge_.counters(0, 1).dropped[static_cast<std::size_t>(Drop::partition)], 1U);
}

TEST_F(BridgeTest, ADelayedFrameIsLostWhenItsLinkIsCutBeforeItArrives) {
  forward(1, frame(broadcast, mac(1)));
  LinkQuality slow;
  slow.delay = milliseconds{10};
  bridge_.set_quality(0, 1, slow);
  std::vector<Bridge::Output> outputs;
  bridge_.forward(now_, 0, frame(mac(1), mac(0)), outputs);
  ASSERT_EQ(outputs.size(), 1U);
  EXPECT_TRUE(outputs[0].delayed);
  EXPECT_EQ(outputs[0].arrival, now_ + milliseconds{10});
  EXPECT_EQ(bridge_.under_way(0, 1), 1U);
  bridge_.set_reachable(0, 1, false);
  EXPECT_FALSE(bridge_.arrived(0, 1));
  EXPECT_EQ(bridge_.under_way(0, 1), 0U);
}

TEST_F(BridgeTest, AFloodOfInventedAddressesLeavesTheTableWorking) {
  Random random(3);
  for (int i = 0; i < 200'000; ++i) {
    forward(0, frame(broadcast, random() & 0xfeffffffffff));
  }
  forward(1, frame(broadcast, mac(1)));
  EXPECT_EQ(forward(2, frame(mac(1), mac(2))), (Ports{1}));
}

TEST_F(BridgeTest, GrowingKeepsWhatIsLearnedAndSet) {
  forward(1, frame(broadcast, mac(1)));
  bridge_.set_reachable(2, 1, false);
  bridge_.grow(6);
  bridge_.set_used(4, true);
  EXPECT_EQ(forward(0, frame(mac(1), mac(0))), (Ports{1}));
  EXPECT_EQ(forward(2, frame(mac(1), mac(2))), (Ports{}));
  EXPECT_EQ(forward(4, frame(broadcast, mac(4))), (Ports{0, 1, 2, 3}));
}

}  // namespace
}  // namespace lab::netsim
