// A disk in virtual time for one node's Raft log. What is submitted becomes durable later, in
// order; a crash keeps a prefix of it and may tear the next write in the middle.
#pragma once

#include <deque>
#include <functional>
#include <optional>
#include <vector>

#include "base/random.hpp"
#include "netsim/event_queue.hpp"
#include "swarm/raft/log_store.hpp"

namespace lab::swarm::sim {

struct DiskOptions {
  Duration latency_min = std::chrono::microseconds(100);
  Duration latency_max = std::chrono::milliseconds(5);
  // A disk that lies: it reports a write as durable long before it is. The checks must see it.
  bool lies = false;
};

class Disk final : public raft::LogStore {
 public:
  using Complete = std::function<void(raft::Ticket)>;

  Disk(netsim::EventQueue& queue, DiskOptions options, Random random, Complete complete)
      : queue_(queue), options_(options), random_(random), complete_(std::move(complete)) {}

  // Loses what was not durable. Completions that are due are never reported.
  void crash();

  Result<raft::Loaded> load() override;
  Result<void> bootstrap(std::span<const raft::Entry> entries) override;
  Result<void> erase() override;
  Result<void> set_term(std::uint64_t term) override;
  Result<void> set_vote(std::uint64_t server_id) override;
  void append(raft::Ticket ticket, std::uint64_t first_index,
              std::span<const raft::Entry> entries) override;
  void truncate(std::uint64_t index) override;
  void put_snapshot(raft::Ticket ticket, const raft::Snapshot& snapshot,
                    std::uint64_t trailing) override;
  Result<raft::Snapshot> read_snapshot() override;

  [[nodiscard]] bool writing() const { return !pending_.empty(); }

  struct Counters {
    std::uint64_t appends = 0, snapshots = 0, truncations = 0, lost = 0, torn = 0;
  };
  [[nodiscard]] const Counters& counters() const { return counters_; }

 private:
  enum class Kind : std::uint8_t { append, truncate, snapshot };
  struct Operation {
    Kind kind = Kind::append;
    raft::Ticket ticket = 0;  // 0: no completion
    std::uint64_t index = 0;  // first_index; truncate: from here on
    std::vector<raft::Entry> entries;
    raft::Snapshot snapshot;
    std::uint64_t trailing = 0;
  };

  void submit(Operation operation);
  void perform_next();
  void perform(const Operation& operation, std::size_t entries_max);
  void drop_from(std::uint64_t index);
  void drop_before(std::uint64_t index);

  netsim::EventQueue& queue_;
  DiskOptions options_;
  Random random_;
  Complete complete_;
  Counters counters_;
  raft::Loaded durable_;
  std::optional<raft::Snapshot> newest_snapshot_;  // completed, perhaps by a lie
  std::deque<Operation> pending_;
  TimePoint last_ready_{}, last_lie_{};
  std::uint64_t incarnation_ = 0;  // events of an earlier one do nothing
};

}  // namespace lab::swarm::sim
