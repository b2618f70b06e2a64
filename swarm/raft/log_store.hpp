// Where a Raft member keeps what must survive a crash: term, vote, log entries and the newest
// snapshot. Production writes a log on disk; the simulation has a disk that loses what was not
// synced.
//
// Durability. set_term(), set_vote(), bootstrap() and erase() are durable when they return. The
// others are submitted: they take effect in the order of submission, one after another, and
// "durable" means that a crash at any later instant (power loss included: fsync of the file, and
// of the folder for a new name) finds them done. Completion of a ticket is reported through
// Member::stored() (Node: event Stored), never from inside the call, and only when that operation
// and all those submitted before it are durable. Completions come in the order of submission. After
// an error nothing more may be written: report the error for that ticket and all later ones; the
// member halts and the process starts again from load().
//
// A crash may keep any prefix of the submitted operations that no completion was reported for, and
// cut one of them (a torn write): load() drops an incomplete tail (checksum) silently. A damaged
// record that has an intact one behind it, or a log with a hole, is an error.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/error.hpp"

namespace lab::swarm::raft {

using Ticket = std::uint64_t;

struct Entry {
  std::uint64_t term = 0;
  std::uint16_t type = 0;  // libraft's: 1 command, 2 barrier, 3 configuration change
  std::string data;
};

enum class ServerRole : std::uint8_t { standby = 0, voter = 1, spare = 2 };  // libraft's numbers

struct Server {
  std::uint64_t id = 0;
  std::string address;
  ServerRole role = ServerRole::spare;
};

struct Snapshot {
  std::uint64_t index = 0;  // of the last entry in it
  std::uint64_t term = 0;   // of that entry
  std::vector<Server> configuration;
  std::uint64_t configuration_index = 0;
  std::string data;
};

// What load() finds. entries[i] has the index first_index + i. With a snapshot,
// first_index <= snapshot->index + 1; entries that end before snapshot->index are not returned at
// all (first_index = snapshot->index + 1 then). Pristine: term 0, no snapshot, first_index 1.
struct Loaded {
  std::uint64_t term = 0;
  std::uint64_t voted_for = 0;
  std::optional<Snapshot> snapshot;
  std::uint64_t first_index = 1;
  std::vector<Entry> entries;
};

class LogStore {
 public:
  virtual ~LogStore() = default;

  // Called once, before everything else but bootstrap() and erase().
  [[nodiscard]] virtual Result<Loaded> load() = 0;
  // Makes a pristine store hold term 1, no vote and these entries from index 1, in one atomic
  // write. `conflict` otherwise.
  [[nodiscard]] virtual Result<void> bootstrap(std::span<const Entry> entries) = 0;
  // Makes the store pristine. Tickets that are open are forgotten, never reported.
  [[nodiscard]] virtual Result<void> erase() = 0;

  // Also clears the vote, in the same atomic write.
  [[nodiscard]] virtual Result<void> set_term(std::uint64_t term) = 0;
  [[nodiscard]] virtual Result<void> set_vote(std::uint64_t server_id) = 0;

  // first_index is the index behind the last entry that there is (after truncate: its index).
  virtual void append(Ticket ticket, std::uint64_t first_index, std::span<const Entry> entries) = 0;
  // Drops the entries from `index` on. No completion of its own; ordered with the others.
  virtual void truncate(std::uint64_t index) = 0;
  // Replaces the snapshot. Then drops the entries before snapshot.index - trailing + 1; or all of
  // them when trailing is 0 (the snapshot came from the leader; the next append continues at
  // snapshot.index + 1). The new snapshot must be durable before anything is dropped.
  virtual void put_snapshot(Ticket ticket, const Snapshot& snapshot, std::uint64_t trailing) = 0;
  // The newest snapshot whose completion was reported or that load() found.
  [[nodiscard]] virtual Result<Snapshot> read_snapshot() = 0;
};

}  // namespace lab::swarm::raft
