// One member of the Raft group: libraft behind our own raft_io. It does no I/O and reads no clock:
// time comes with each call, disk and network are the LogStore and the Transport, and what libraft
// would do in a background thread is a ticket that stored() completes.
//
// One thread. No call may be made from inside a callback of the same member.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hpp"
#include "base/error.hpp"
#include "base/random.hpp"
#include "swarm/raft/log_store.hpp"
#include "swarm/raft/transport.hpp"

namespace lab::swarm::raft {

struct Options {
  std::uint64_t id = 0;  // not 0, never used twice in the life of the swarm
  std::string address;   // "192.168.50.4:2377"
  std::chrono::milliseconds election_timeout{2000};  // drawn anew from [1x, 2x] each time
  std::chrono::milliseconds heartbeat_timeout{200};
  unsigned snapshot_threshold = 10'000;  // entries between snapshots
  unsigned snapshot_trailing = 500;      // entries kept behind a snapshot for slow followers
};

// What the entries are applied to. The same entries in the same order give the same state.
class StateMachine {
 public:
  virtual ~StateMachine() = default;
  virtual void apply(std::string_view entry) = 0;
  [[nodiscard]] virtual std::string snapshot() const = 0;
  [[nodiscard]] virtual Result<void> restore(std::string_view snapshot) = 0;
};

enum class State : std::uint8_t { halted, follower, candidate, leader };

struct Leader {
  std::uint64_t id = 0;  // 0: unknown
  std::string address;
};

using Done = std::function<void(Result<void>)>;

class Member {
 public:
  // Makes a pristine log store the beginning of a group with this one voter, whose first entry for
  // the state machine is `entry`.
  [[nodiscard]] static Result<void> bootstrap(LogStore& log, std::uint64_t id,
                                              const std::string& address, std::string_view entry);

  // All references must outlive the member.
  Member(Options options, LogStore& log, Transport& transport, StateMachine& machine,
         Random random);
  Member(const Member&) = delete;
  Member& operator=(const Member&) = delete;
  // Open requests are forgotten: their callbacks are never called. Tickets still open at the log
  // store must not be reported to another member: erase() the store or give the next member a fresh
  // one.
  ~Member();

  // Loads the log store and begins. A sole voter is leader at once.
  [[nodiscard]] Result<void> start(TimePoint now);
  void tick(TimePoint now);  // at next_tick() or later
  void receive(TimePoint now, const proto::RaftMessage& message);
  void stored(TimePoint now, Ticket ticket, const Result<void>& status);
  [[nodiscard]] TimePoint next_tick() const;

  // Requests; all but propose's refusal complete in a later call. `unavailable` when not the leader
  // (nothing was done) or when leadership was lost (the outcome is unknown).
  void propose(TimePoint now, std::string_view entry, Done done);
  // Done when everything committed before is applied here: a new leader waits for it.
  void barrier(TimePoint now, Done done);
  // Membership: add() makes a spare, which gets no entries; assign() changes the role, a voter
  // being caught up first. `conflict` while another change is in progress.
  void add(TimePoint now, std::uint64_t id, const std::string& address, Done done);
  void assign(TimePoint now, std::uint64_t id, ServerRole role, Done done);
  void remove(TimePoint now, std::uint64_t id, Done done);
  // Gives leadership to `id`, or to any voter with 0. Done when the attempt is over: see leader().
  void transfer(TimePoint now, std::uint64_t id, Done done);

  [[nodiscard]] std::uint64_t id() const;
  // `halted` after start(): a failed write or a fatal inconsistency. Start again from the disk.
  [[nodiscard]] State state() const;
  [[nodiscard]] bool is_leader() const { return state() == State::leader; }
  [[nodiscard]] std::uint64_t term() const;
  [[nodiscard]] Leader leader() const;
  [[nodiscard]] std::vector<Server> configuration() const;
  [[nodiscard]] bool configuration_committed() const;
  [[nodiscard]] std::uint64_t commit_index() const;
  [[nodiscard]] std::uint64_t last_applied() const;
  [[nodiscard]] std::uint64_t last_index() const;
  // As leader: whether the server answered within the last election timeout.
  [[nodiscard]] bool reachable(std::uint64_t id) const;
  // Why the member halted or refused, in libraft's words.
  [[nodiscard]] std::string last_error() const;

  // Internal: libraft's C callbacks need its name.
  struct Impl;

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace lab::swarm::raft
