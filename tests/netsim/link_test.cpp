#include "netsim/link.hpp"

#include <gtest/gtest.h>

namespace lab::netsim {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr int frames = 100'000;
const TimePoint start{seconds{1000}};

TEST(Link, APerfectLinkPassesEveryFrameAtOnce) {
  Link link;
  Random random(1);
  EXPECT_TRUE(link.perfect());
  const Fate fate = link.transmit(start, 64, random);
  EXPECT_EQ(fate.copies, 1);
  EXPECT_EQ(fate.arrival[0], start);
  EXPECT_FALSE(fate.corrupted);
}

TEST(Link, LosesTheShareThatIsSet) {
  LinkQuality quality;
  quality.loss = 0.05;
  Link link(quality);
  Random random(1);
  int lost = 0;
  for (int i = 0; i < frames; ++i) {
    const Fate fate = link.transmit(start, 64, random);
    if (fate.copies == 0) {
      EXPECT_EQ(fate.drop, Drop::loss);
      ++lost;
    }
  }
  EXPECT_NEAR(lost, frames * 0.05, 210);  // three standard deviations
}

TEST(Link, DelayStaysWithinItsJitterAndFillsIt) {
  LinkQuality quality;
  quality.delay = milliseconds{10};
  quality.jitter = milliseconds{3};
  Link link(quality);
  Random random(2);
  Duration least = seconds{1};
  Duration most{0};
  Duration sum{0};
  for (int i = 0; i < frames; ++i) {
    const Fate fate = link.transmit(start, 64, random);
    ASSERT_EQ(fate.copies, 1);
    const Duration delay = fate.arrival[0] - start;
    link.departed();
    least = std::min(least, delay);
    most = std::max(most, delay);
    sum += delay;
  }
  EXPECT_GE(least, milliseconds{7});
  EXPECT_LT(least, microseconds{7'010});
  EXPECT_LE(most, milliseconds{13});
  EXPECT_GT(most, microseconds{12'990});
  EXPECT_NEAR(static_cast<double>(sum.count()) / frames, 10e6, 20e3);
}

TEST(Link, RateSpacesArrivalsAndKeepsTheirOrder) {
  LinkQuality quality;
  quality.rate_bits = 8'000'000;  // one byte per microsecond
  quality.delay = milliseconds{5};
  quality.jitter = milliseconds{5};
  Link link(quality);
  Random random(3);
  TimePoint last = start;
  for (int i = 0; i < 500; ++i) {
    const Fate fate = link.transmit(start, 1500, random);
    ASSERT_EQ(fate.copies, 1);
    EXPECT_GE(fate.arrival[0] - last, microseconds{1500});
    last = fate.arrival[0];
  }
  EXPECT_LE(last - start, milliseconds{10} + microseconds{1500} * 500);
}

TEST(Link, RaisingTheRateFreesNewFramesFromTheOldBacklog) {
  LinkQuality quality;
  quality.rate_bits = 1'000;
  Link link(quality);
  Random random(3);
  for (int i = 0; i < 100; ++i) (void)link.transmit(start, 1500, random);
  quality.rate_bits = 8'000'000;
  link.set(quality);
  EXPECT_EQ(link.transmit(start, 1500, random).arrival[0], start + microseconds{1500});
}

TEST(Link, AnotherChangeKeepsTheOrderBehindTheBacklog) {
  LinkQuality quality;
  quality.rate_bits = 8'000'000;
  Link link(quality);
  Random random(3);
  for (int i = 0; i < 10; ++i) (void)link.transmit(start, 1500, random);
  quality.delay = milliseconds{1};
  link.set(quality);
  EXPECT_EQ(link.transmit(start, 1500, random).arrival[0], start + microseconds{1500} * 11);
}

TEST(Link, FramesBeyondTheLimitAreDroppedUntilSomeDepart) {
  LinkQuality quality;
  quality.delay = milliseconds{10};
  quality.limit_frames = 3;
  Link link(quality);
  Random random(4);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(link.transmit(start, 64, random).copies, 1);
  const Fate fate = link.transmit(start, 64, random);
  EXPECT_EQ(fate.copies, 0);
  EXPECT_EQ(fate.drop, Drop::limit);
  link.departed();
  EXPECT_EQ(link.transmit(start, 64, random).copies, 1);
}

TEST(Link, ReorderedFramesOvertakeTheDelayedOnes) {
  LinkQuality quality;
  quality.delay = milliseconds{10};
  quality.reorder = 0.25;
  quality.limit_frames = frames;
  Link link(quality);
  Random random(5);
  int overtook = 0;
  for (int i = 0; i < frames; ++i) {
    const Fate fate = link.transmit(start, 64, random);
    if (fate.arrival[0] == start) ++overtook;
  }
  EXPECT_NEAR(overtook, frames * 0.25, 410);
}

TEST(Link, DuplicatesTheShareThatIsSet) {
  LinkQuality quality;
  quality.duplicate = 0.1;
  Link link(quality);
  Random random(6);
  int copies = 0;
  for (int i = 0; i < frames; ++i) copies += link.transmit(start, 64, random).copies;
  EXPECT_NEAR(copies, frames * 1.1, 290);
}

TEST(Link, AFrameThatIsDoubledAndLostArrivesOnce) {
  LinkQuality quality;
  quality.duplicate = 1;
  quality.loss = 1;
  Link link(quality);
  Random random(6);
  const Fate fate = link.transmit(start, 64, random);
  EXPECT_EQ(fate.copies, 1);
  EXPECT_EQ(fate.drop, Drop::none);
  EXPECT_EQ(fate.arrival[0], start);
}

TEST(Link, CorruptsOneBitInsideTheFrame) {
  LinkQuality quality;
  quality.corrupt = 0.5;
  Link link(quality);
  Random random(7);
  int corrupted = 0;
  std::uint64_t highest = 0;
  for (int i = 0; i < frames; ++i) {
    const Fate fate = link.transmit(start, 64, random);
    if (!fate.corrupted) continue;
    ++corrupted;
    highest = std::max(highest, fate.corrupt_bit);
  }
  EXPECT_NEAR(corrupted, frames * 0.5, 475);
  EXPECT_EQ(highest, 64U * 8 - 1);
}

TEST(Link, TheSameSeedGivesTheSameFates) {
  LinkQuality quality;
  quality.delay = milliseconds{10};
  quality.jitter = milliseconds{9};
  quality.loss = 0.1;
  quality.duplicate = 0.1;
  quality.corrupt = 0.1;
  quality.reorder = 0.1;
  quality.rate_bits = 100'000'000;
  const auto run = [&](std::uint64_t seed) {
    Link link(quality);
    Random random(seed);
    std::vector<std::int64_t> all;
    for (int i = 0; i < 1000; ++i) {
      const Fate fate = link.transmit(start + microseconds{i}, 100, random);
      for (int copy = 0; copy < fate.copies; ++copy) {
        all.push_back((fate.arrival[static_cast<std::size_t>(copy)] - start).count());
      }
      all.push_back(static_cast<std::int64_t>(fate.corrupt_bit));
    }
    return all;
  };
  EXPECT_EQ(run(1), run(1));
  EXPECT_NE(run(1), run(2));
}

}  // namespace
}  // namespace lab::netsim
