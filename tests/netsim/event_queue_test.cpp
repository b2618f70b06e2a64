#include "netsim/event_queue.hpp"

#include <gtest/gtest.h>

#include "base/random.hpp"

namespace lab::netsim {
namespace {

using std::chrono::milliseconds;

TEST(EventQueue, RunsByTimeAndEqualTimesInTheOrderOfScheduling) {
  EventQueue queue;
  std::string ran;
  queue.schedule_after(milliseconds{2}, [&] { ran += 'c'; });
  queue.schedule_after(milliseconds{1}, [&] { ran += 'a'; });
  queue.schedule_after(milliseconds{2}, [&] { ran += 'd'; });
  queue.schedule_after(milliseconds{1}, [&] {
    ran += 'b';
    queue.schedule_after(milliseconds{1}, [&] { ran += 'e'; });
  });
  EXPECT_EQ(queue.run_for(milliseconds{5}), 5U);
  EXPECT_EQ(ran, "abcde");
  EXPECT_EQ(queue.now(), TimePoint{milliseconds{5}});
  EXPECT_EQ(format_rfc3339(queue.wall_now()), "2026-01-01T00:00:00.005000000Z");
}

TEST(EventQueue, RunUntilIncludesItsInstantAndLeavesLaterEvents) {
  EventQueue queue;
  int ran = 0;
  for (int i = 1; i <= 4; ++i) queue.schedule_after(milliseconds{i}, [&] { ++ran; });
  EXPECT_EQ(queue.run_until(TimePoint{milliseconds{2}}), 2U);
  EXPECT_EQ(ran, 2);
  EXPECT_EQ(queue.size(), 2U);
  EXPECT_EQ(queue.next_time(), TimePoint{milliseconds{3}});
}

TEST(EventQueue, ATimeThatHasPassedMeansNow) {
  EventQueue queue;
  queue.run_for(milliseconds{10});
  TimePoint ran{};
  queue.schedule_at(TimePoint{milliseconds{3}}, [&] { ran = queue.now(); });
  EXPECT_TRUE(queue.run_next());
  EXPECT_EQ(ran, TimePoint{milliseconds{10}});
}

TEST(EventQueue, CancelledEventsNeverRunAndTheirSlotIsNotMistakenForAnother) {
  EventQueue queue;
  int first = 0;
  int second = 0;
  const auto id = queue.schedule_after(milliseconds{1}, [&] { ++first; });
  EXPECT_TRUE(queue.cancel(id));
  EXPECT_FALSE(queue.cancel(id));
  queue.schedule_after(milliseconds{1}, [&] { ++second; });
  EXPECT_FALSE(queue.cancel(id));
  EXPECT_FALSE(queue.cancel({}));
  EXPECT_EQ(queue.run_for(milliseconds{2}), 1U);
  EXPECT_EQ(first, 0);
  EXPECT_EQ(second, 1);
}

TEST(EventQueue, ManyCancellationsKeepTheOrder) {
  EventQueue queue;
  Random random(7);
  std::vector<std::int64_t> ran;
  std::vector<EventQueue::EventId> ids;
  for (int i = 0; i < 20'000; ++i) {
    const auto at = TimePoint{milliseconds{random.between(0, 500)}};
    ids.push_back(
        queue.schedule_at(at, [&] { ran.push_back(queue.now().time_since_epoch().count()); }));
  }
  for (std::size_t i = 0; i < ids.size(); ++i) {
    if (i % 10 != 0) {
      EXPECT_TRUE(queue.cancel(ids[i]));
    }
  }
  EXPECT_EQ(queue.run_for(milliseconds{500}), 2'000U);
  EXPECT_TRUE(std::is_sorted(ran.begin(), ran.end()));
  EXPECT_TRUE(queue.empty());
}

}  // namespace
}  // namespace lab::netsim
