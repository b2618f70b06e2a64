// How far a follower's log is known to agree with the leader's. libraft 0.15.0 answers every
// AppendEntries that it accepts with its last stored index, leftovers of an earlier term included,
// and a leader that has as many entries takes them for its own: it may then commit what is not
// replicated, or never replicate it. Member puts this bound on the index in the answer.
//
// And the other way round: it takes entries that it has compacted for a contradiction (or, from
// index 1 on, for new ones, which it appends in the wrong place); a leader that asks for them then
// sends snapshots for ever. Member cuts off what the follower's snapshot covers.
#pragma once

#include <cstdint>
#include <optional>

#include "swarm/proto/wire.pb.h"

#include "swarm/raft/libraft.hpp"

namespace lab::swarm::raft {

class Matching {
 public:
  // Before libraft gets the message.
  void receiving(const struct raft& raft, const raft_message& message);
  // A snapshot from the leader of `term` is in place.
  void installed(std::uint64_t term, std::uint64_t last_index);
  // The bound for an answer sent in `term`.
  [[nodiscard]] std::uint64_t bound(std::uint64_t term) const { return term == term_ ? index_ : 0; }

 private:
  void agree(std::uint64_t term, std::uint64_t index);

  std::uint64_t term_ = 0;   // of the leader
  std::uint64_t index_ = 0;  // its log and this one are the same up to here
};

// The AppendEntries without what lies before the end of this log's snapshot, when it begins before
// the log; nothing when `message` may stay as it is. What a snapshot covers is committed, and so
// the same in the log of every leader that still counts.
[[nodiscard]] std::optional<proto::RaftMessage> without_compacted(
    const struct raft& raft, const proto::RaftMessage& message);

}  // namespace lab::swarm::raft
