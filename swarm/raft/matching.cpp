#include "swarm/raft/matching.hpp"

#include <algorithm>

#include "swarm/raft/configurations.hpp"

namespace lab::swarm::raft {

void Matching::agree(std::uint64_t term, std::uint64_t index) {
  if (term > term_) {
    term_ = term;
    index_ = 0;
  }
  // A leader only appends, and what agrees with it is not truncated in its term.
  if (term == term_) index_ = std::max(index_, index);
}

void Matching::receiving(const struct raft& raft, const raft_message& message) {
  if (message.type == RAFT_IO_APPEND_ENTRIES) {
    const raft_append_entries& append = message.append_entries;
    if (append.term < raft.current_term) return;
    if (append.prev_log_index > 0 &&
        term_of(raft.log, append.prev_log_index) != append.prev_log_term)
      return;
    // While a snapshot is being installed, entries are ignored.
    const bool taken = raft.snapshot.put.data == nullptr;
    agree(append.term, append.prev_log_index + (taken ? append.n_entries : 0));
  } else if (message.type == RAFT_IO_INSTALL_SNAPSHOT) {
    const raft_install_snapshot& install = message.install_snapshot;
    if (install.term >= raft.current_term &&
        term_of(raft.log, install.last_index) == install.last_term)
      agree(install.term, install.last_index);
  }
}

void Matching::installed(std::uint64_t term, std::uint64_t last_index) { agree(term, last_index); }

std::optional<proto::RaftMessage> without_compacted(const struct raft& raft,
                                                    const proto::RaftMessage& message) {
  const std::uint64_t prev = message.prev_log_index();
  const std::uint64_t covered = raft.log.snapshot.last_index;
  if (message.kind() != RAFT_IO_APPEND_ENTRIES || message.term() < raft.current_term ||
      prev >= covered)
    return {};
  const bool in_log = prev == 0 ? raft.log.offset == 0 : term_of(raft.log, prev) != 0;
  if (in_log) return {};
  proto::RaftMessage cut = message;
  const auto count = static_cast<int>(
      std::min<std::uint64_t>(covered - prev, static_cast<std::uint64_t>(cut.entries_size())));
  cut.mutable_entries()->DeleteSubrange(0, count);
  cut.set_prev_log_index(covered);
  cut.set_prev_log_term(raft.log.snapshot.last_term);
  return cut;
}

}  // namespace lab::swarm::raft
