// The leader's writes, one after another. Each write is a function over a draft; it sees all
// writes before it, so that checking and changing are one step. While one transaction is under way
// through Raft, what comes waits and goes together as the next.
#pragma once

#include <deque>
#include <functional>

#include "base/error.hpp"
#include "swarm/raft/member.hpp"
#include "swarm/store/store.hpp"
#include "swarm/types.hpp"

namespace lab::swarm::manager {

class Writer {
 public:
  using Change = std::function<Result<void>(store::Draft&)>;
  // A store of at least this version holds the write. `unavailable`: not leader, or leadership was
  // lost (whether the write takes effect is then unknown).
  using Done = std::function<void(Result<std::uint64_t>)>;

  Writer(const store::Store& store, raft::Member& member) : store_(store), member_(member) {}

  // `change` runs later, once; it leaves the draft alone when it fails.
  void submit(Change change, Done done = {});
  // Proposes what waits, if nothing is under way. True when something was done.
  bool pump(Now now);
  // Leadership is lost: what waits fails with `unavailable`.
  void fail_waiting();
  [[nodiscard]] bool idle() const { return waiting_.empty() && !under_way_; }

 private:
  struct Write {
    Change change;
    Done done;
  };

  const store::Store& store_;
  raft::Member& member_;
  std::deque<Write> waiting_;
  bool under_way_ = false;
};

}  // namespace lab::swarm::manager
