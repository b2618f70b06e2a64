// Virtual time: a clock that moves only when events run, and the queue of those events. Events of
// the same instant run in the order in which they were scheduled, so a run depends on nothing but
// its inputs. One thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "base/clock.hpp"

namespace lab::netsim {

class EventQueue final : public Clock {
 public:
  // Names a scheduled event for cancel(). A default one names none.
  struct EventId {
    std::uint64_t sequence = 0;
    std::uint32_t slot = 0;
    bool operator==(const EventId&) const = default;
  };

  // Virtual time begins at TimePoint{} and, on the calendar, at 2026-01-01T00:00:00Z.
  EventQueue() = default;
  EventQueue(const EventQueue&) = delete;
  EventQueue& operator=(const EventQueue&) = delete;

  [[nodiscard]] TimePoint now() const override { return now_; }
  [[nodiscard]] WallTime wall_now() const override;

  // Runs `action` at `time`; a time that has passed means now, after what is due already.
  EventId schedule_at(TimePoint time, std::function<void()> action);
  EventId schedule_after(Duration delay, std::function<void()> action) {
    return schedule_at(now_ + delay, std::move(action));
  }
  // Whether the event was still to come; it now never runs.
  bool cancel(EventId id);

  // Moves the clock to the earliest event and runs it; false when there is none.
  bool run_next();
  // Runs everything due up to and including `time`, also what those events schedule, and leaves
  // the clock at `time`. Gives the number of events run.
  std::size_t run_until(TimePoint time);
  std::size_t run_for(Duration duration) { return run_until(now_ + duration); }

  [[nodiscard]] std::optional<TimePoint> next_time();
  [[nodiscard]] std::size_t size() const { return pending_; }
  [[nodiscard]] bool empty() const { return pending_ == 0; }

 private:
  struct Entry {
    TimePoint time;
    std::uint64_t sequence;
    std::uint32_t slot;
  };
  struct Slot {
    std::uint64_t sequence = 0;  // 0: free
    std::function<void()> action;
  };

  // The heap's order: true when `a` runs after `b`.
  static bool later(const Entry& a, const Entry& b) {
    return a.time != b.time ? a.time > b.time : a.sequence > b.sequence;
  }
  [[nodiscard]] bool stale(const Entry& entry) const {
    return slots_[entry.slot].sequence != entry.sequence;
  }
  void drop_stale_top();
  void compact();
  std::function<void()> take(std::uint32_t slot);

  TimePoint now_{};
  std::uint64_t next_sequence_ = 1;
  std::size_t pending_ = 0;
  std::vector<Entry> heap_;
  std::vector<Slot> slots_;
  std::vector<std::uint32_t> free_slots_;
};

}  // namespace lab::netsim
