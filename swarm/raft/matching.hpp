// How far a follower's log is known to agree with the leader's. libraft 0.15.0 answers every
// AppendEntries that it accepts with its last stored index, leftovers of an earlier term included,
// and a leader that has as many entries takes them for its own: it may then commit what is not
// replicated, or never replicate it. Member puts this bound on the index in the answer.
#pragma once

#include <cstdint>

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

}  // namespace lab::swarm::raft
