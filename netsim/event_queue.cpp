#include "netsim/event_queue.hpp"

#include <algorithm>
#include <utility>

namespace lab::netsim {

namespace {

constexpr std::chrono::sys_days epoch_day{std::chrono::year{2026} / 1 / 1};
constexpr std::size_t compact_from = 1024;

}  // namespace

WallTime EventQueue::wall_now() const { return WallTime{epoch_day} + now_.time_since_epoch(); }

EventQueue::EventId EventQueue::schedule_at(TimePoint time, std::function<void()> action) {
  std::uint32_t slot = 0;
  if (free_slots_.empty()) {
    slot = static_cast<std::uint32_t>(slots_.size());
    slots_.emplace_back();
  } else {
    slot = free_slots_.back();
    free_slots_.pop_back();
  }
  const std::uint64_t sequence = next_sequence_++;
  slots_[slot].sequence = sequence;
  slots_[slot].action = std::move(action);
  heap_.push_back({std::max(time, now_), sequence, slot});
  std::push_heap(heap_.begin(), heap_.end(), later);
  ++pending_;
  return {sequence, slot};
}

std::function<void()> EventQueue::take(std::uint32_t slot) {
  auto action = std::exchange(slots_[slot].action, nullptr);
  slots_[slot].sequence = 0;
  free_slots_.push_back(slot);
  --pending_;
  return action;
}

bool EventQueue::cancel(EventId id) {
  if (id.sequence == 0 || id.slot >= slots_.size() || slots_[id.slot].sequence != id.sequence) {
    return false;
  }
  take(id.slot);
  if (heap_.size() > compact_from && pending_ < heap_.size() / 2) compact();
  return true;
}

// Cancelled events leave their heap entry behind; this removes them once they are the majority.
void EventQueue::compact() {
  std::erase_if(heap_, [this](const Entry& entry) { return stale(entry); });
  std::make_heap(heap_.begin(), heap_.end(), later);
}

void EventQueue::drop_stale_top() {
  while (!heap_.empty() && stale(heap_.front())) {
    std::pop_heap(heap_.begin(), heap_.end(), later);
    heap_.pop_back();
  }
}

std::optional<TimePoint> EventQueue::next_time() {
  drop_stale_top();
  if (heap_.empty()) return std::nullopt;
  return heap_.front().time;
}

bool EventQueue::run_next() {
  drop_stale_top();
  if (heap_.empty()) return false;
  const Entry entry = heap_.front();
  std::pop_heap(heap_.begin(), heap_.end(), later);
  heap_.pop_back();
  now_ = entry.time;
  take(entry.slot)();
  return true;
}

std::size_t EventQueue::run_until(TimePoint time) {
  std::size_t count = 0;
  for (auto next = next_time(); next && *next <= time; next = next_time()) {
    run_next();
    ++count;
  }
  now_ = std::max(now_, time);
  return count;
}

}  // namespace lab::netsim
