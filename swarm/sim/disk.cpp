#include "swarm/sim/disk.hpp"

#include <algorithm>
#include <limits>
#include <utility>

namespace lab::swarm::sim {

namespace {
constexpr Duration lie = std::chrono::seconds(3);
}

void Disk::crash() {
  ++incarnation_;
  std::size_t kept = pending_.empty() ? 0 : random_.below(pending_.size() + 1);
  for (; kept > 0; --kept) {
    perform(pending_.front(), std::numeric_limits<std::size_t>::max());
    pending_.pop_front();
  }
  if (!pending_.empty() && pending_.front().kind == Kind::append) {
    const std::size_t whole = random_.below(pending_.front().entries.size() + 1);
    perform(pending_.front(), whole);
    ++counters_.torn;
  }
  counters_.lost += pending_.size();
  pending_.clear();
  last_ready_ = last_lie_ = {};
  newest_snapshot_.reset();
}

Result<raft::Loaded> Disk::load() {
  newest_snapshot_ = durable_.snapshot;
  return durable_;
}

Result<void> Disk::bootstrap(std::span<const raft::Entry> entries) {
  if (durable_.term != 0 || !durable_.entries.empty() || durable_.snapshot)
    return Error{Code::conflict, "the log is not pristine"};
  durable_.term = 1;
  durable_.entries.assign(entries.begin(), entries.end());
  return {};
}

Result<void> Disk::erase() {
  ++incarnation_;
  durable_ = {};
  newest_snapshot_.reset();
  pending_.clear();
  last_ready_ = last_lie_ = {};
  return {};
}

Result<void> Disk::set_term(std::uint64_t term) {
  durable_.term = term;
  durable_.voted_for = 0;
  return {};
}

Result<void> Disk::set_vote(std::uint64_t server_id) {
  durable_.voted_for = server_id;
  return {};
}

void Disk::append(raft::Ticket ticket, std::uint64_t first_index,
                  std::span<const raft::Entry> entries) {
  ++counters_.appends;
  submit(Operation{.kind = Kind::append,
                   .ticket = ticket,
                   .index = first_index,
                   .entries = {entries.begin(), entries.end()}});
}

void Disk::truncate(std::uint64_t index) {
  ++counters_.truncations;
  submit(Operation{.kind = Kind::truncate, .index = index});
}

void Disk::put_snapshot(raft::Ticket ticket, const raft::Snapshot& snapshot,
                        std::uint64_t trailing) {
  ++counters_.snapshots;
  submit(Operation{
      .kind = Kind::snapshot, .ticket = ticket, .snapshot = snapshot, .trailing = trailing});
}

Result<raft::Snapshot> Disk::read_snapshot() {
  if (!newest_snapshot_) return Error{Code::not_found, "there is no snapshot"};
  return *newest_snapshot_;
}

void Disk::submit(Operation operation) {
  const Duration latency(
      random_.between(options_.latency_min.count(), options_.latency_max.count()));
  last_ready_ = std::max(last_ready_, queue_.now()) + latency + (options_.lies ? lie : Duration());
  const raft::Ticket ticket = operation.ticket;
  if (options_.lies && ticket != 0) {
    std::optional<raft::Snapshot> snapshot;
    if (operation.kind == Kind::snapshot) snapshot = operation.snapshot;
    last_lie_ = std::max(last_lie_, queue_.now()) + latency;
    queue_.schedule_at(last_lie_, [this, ticket, snapshot, incarnation = incarnation_] {
      if (incarnation != incarnation_) return;
      if (snapshot) newest_snapshot_ = snapshot;
      complete_(ticket);
    });
  }
  pending_.push_back(std::move(operation));
  queue_.schedule_at(last_ready_, [this, incarnation = incarnation_] {
    if (incarnation == incarnation_) perform_next();
  });
}

void Disk::perform_next() {
  const Operation operation = std::move(pending_.front());
  pending_.pop_front();
  perform(operation, std::numeric_limits<std::size_t>::max());
  if (options_.lies || operation.ticket == 0) return;
  if (operation.kind == Kind::snapshot) newest_snapshot_ = operation.snapshot;
  complete_(operation.ticket);
}

void Disk::perform(const Operation& operation, std::size_t entries_max) {
  switch (operation.kind) {
    case Kind::append: {
      // Members continue where the log ends; anything else is a bug of theirs.
      if (operation.index != durable_.first_index + durable_.entries.size())
        throw std::logic_error("append at " + std::to_string(operation.index) +
                               " leaves a hole in the log");
      const std::size_t count = std::min(entries_max, operation.entries.size());
      durable_.entries.insert(durable_.entries.end(), operation.entries.begin(),
                              operation.entries.begin() + static_cast<std::ptrdiff_t>(count));
      break;
    }
    case Kind::truncate: drop_from(operation.index); break;
    case Kind::snapshot: {
      const std::uint64_t index = operation.snapshot.index;
      durable_.snapshot = operation.snapshot;
      const std::uint64_t end = durable_.first_index + durable_.entries.size();
      if (operation.trailing == 0 || end <= index) {
        durable_.entries.clear();
        durable_.first_index = index + 1;
      } else if (index > operation.trailing) {
        drop_before(index - operation.trailing + 1);
      }
      break;
    }
  }
}

void Disk::drop_from(std::uint64_t index) {
  const std::uint64_t keep = index > durable_.first_index ? index - durable_.first_index : 0;
  if (keep < durable_.entries.size()) durable_.entries.resize(keep);
}

void Disk::drop_before(std::uint64_t index) {
  if (index <= durable_.first_index) return;
  const std::uint64_t count =
      std::min<std::uint64_t>(index - durable_.first_index, durable_.entries.size());
  durable_.entries.erase(durable_.entries.begin(),
                         durable_.entries.begin() + static_cast<std::ptrdiff_t>(count));
  durable_.first_index += count;
}

}  // namespace lab::swarm::sim
