// The membership configurations that the log and the snapshot hold, beside libraft's own record of
// them. libraft 0.15.0 (Debian 12) has four faults around a configuration that is not committed:
// - rolling it back dereferences the committed one's entry even when a snapshot has replaced it;
// - a snapshot taken meanwhile stores it as if it were committed;
// - after a restart the newest one in the log counts as committed, and is never rolled back;
// - an installed snapshot leaves the mark of one that it replaced, and then no change of membership
//   is ever possible again.
// Member corrects them with what is kept here.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include "swarm/raft/libraft.hpp"
#include "swarm/raft/log_store.hpp"

namespace lab::swarm::raft {

class Configurations {
 public:
  void load(const Loaded& loaded);
  void append(std::uint64_t first_index, std::span<const Entry> entries);
  void truncate(std::uint64_t index);
  // `installed`: it came from the leader and replaces the log.
  void snapshot(const Snapshot& snapshot, bool installed);
  // Null when there is none with that index.
  [[nodiscard]] const std::vector<Server>* at(std::uint64_t index) const;

  // After raft_start(): the newest configuration of the log is uncommitted unless the snapshot
  // covers it, and the one before it is the committed one.
  void mark_uncommitted(struct raft& raft) const;
  // After each call of libraft: a mark whose entry was applied, or is gone, is taken away.
  static void clear_stale_mark(struct raft& raft);

 private:
  std::map<std::uint64_t, std::vector<Server>> by_index_;
};

// The index of the first entry of `append` that contradicts one in the log, which libraft will drop
// from there on; 0 if it will not, or will not look at the entries.
[[nodiscard]] std::uint64_t first_conflict(const struct raft& raft,
                                           const raft_append_entries& append);

// The term of the entry in the log (or of the snapshot's last one); 0 when it is not there.
[[nodiscard]] std::uint64_t term_of(const raft_log& log, std::uint64_t index);

}  // namespace lab::swarm::raft
