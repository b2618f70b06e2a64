// The Raft log on disk: a write-ahead log in segments, snapshots beside it, term and vote in a file
// of their own. A thread of its own writes what was submitted, many submissions under one
// fdatasync; what was reported complete survives any crash.
//
// Folder: `metadata` (term and vote; a log without it is pristine), `log-N` segments, and
// `snapshot-INDEX-TERM`. Formats: record.hpp. One process at a time: it holds a lock on `lock`.
//
// Errors: a damaged record with an intact one behind it, a hole in the log, a damaged snapshot or
// metadata are Code::internal, naming the file and the offset; they are for a person to look at.
#pragma once

#include <condition_variable>
#include <deque>
#include <filesystem>
#include <functional>
#include <mutex>
#include <thread>

#include "base/file.hpp"
#include "swarm/raft/log_store.hpp"
#include "swarm/wal/record.hpp"

namespace lab::swarm::wal {

class DiskLog final : public raft::LogStore {
 public:
  // Runs a function on the thread that all methods are called from, later.
  using Post = std::function<void(std::function<void()>)>;
  using Report = std::function<void(raft::Ticket, Result<void>)>;

  // `segment_bytes`: a segment that has reached this size is followed by a new one.
  DiskLog(std::filesystem::path folder, Post post, Report report,
          std::size_t segment_bytes = std::size_t{4} << 20);
  DiskLog(const DiskLog&) = delete;
  DiskLog& operator=(const DiskLog&) = delete;
  // Writes what was submitted; reports nothing any more.
  ~DiskLog() override;

  // Makes the folder and takes its lock; before anything else.
  [[nodiscard]] Result<void> open();

  [[nodiscard]] Result<raft::Loaded> load() override;
  [[nodiscard]] Result<void> bootstrap(std::span<const raft::Entry> entries) override;
  [[nodiscard]] Result<void> erase() override;
  [[nodiscard]] Result<void> set_term(std::uint64_t term) override;
  [[nodiscard]] Result<void> set_vote(std::uint64_t server_id) override;
  void append(raft::Ticket ticket, std::uint64_t first_index,
              std::span<const raft::Entry> entries) override;
  void truncate(std::uint64_t index) override;
  void put_snapshot(raft::Ticket ticket, const raft::Snapshot& snapshot,
                    std::uint64_t trailing) override;
  [[nodiscard]] Result<raft::Snapshot> read_snapshot() override;

 private:
  struct Operation {
    raft::Ticket ticket = 0;  // 0: none to report (truncation)
    std::string batch;        // encoded; empty for a snapshot
    std::uint64_t first_index = 0;
    std::size_t count = 0;
    std::optional<raft::Snapshot> snapshot;
    std::uint64_t trailing = 0;
  };
  // What a written segment holds, for the decision when it may go.
  struct Segment {
    std::uint64_t sequence = 0;
    std::uint64_t last_index = 0;  // highest index written to it; 0: none
  };

  [[nodiscard]] std::filesystem::path segment_path(std::uint64_t sequence) const;
  [[nodiscard]] Result<std::vector<std::uint64_t>> list_segments() const;
  [[nodiscard]] Result<void> load_segment(std::uint64_t sequence, bool last, raft::Loaded& loaded);
  [[nodiscard]] Result<std::optional<raft::Snapshot>> load_snapshots();
  [[nodiscard]] Result<bool> reconcile(raft::Loaded& loaded) const;
  [[nodiscard]] Result<void> save_metadata(const Metadata& metadata);
  [[nodiscard]] Result<void> remove_all_but_lock();
  [[nodiscard]] Result<void> sync_folder() const;

  // On the writer's thread (or on the caller's while that thread rests: load, bootstrap, erase).
  [[nodiscard]] Result<void> open_segment();
  [[nodiscard]] Result<void> write_batch(const std::string& batch, std::uint64_t last_index);
  [[nodiscard]] Result<void> write_snapshot(const Operation& operation);
  [[nodiscard]] Result<void> sync_segment();
  void drop_segments_before(std::uint64_t index);
  void run(const std::vector<Operation>& operations, std::vector<Result<void>>& results);
  void writer();
  void submit(Operation operation);
  // Waits until the writer rests, with nothing left in the queue.
  void drain(bool forget);

  std::filesystem::path folder_;
  Post post_;
  Report report_;
  std::size_t segment_bytes_;
  Fd lock_;
  Metadata metadata_;
  std::optional<std::filesystem::path> snapshot_path_;  // the one that read_snapshot() gives
  // Posted reports of an older generation are dropped; ends with the object.
  std::shared_ptr<std::uint64_t> generation_ = std::make_shared<std::uint64_t>(0);

  std::mutex mutex_;
  std::condition_variable wake_, rest_;
  std::deque<Operation> queue_;
  bool busy_ = false;
  bool stop_ = false;

  // The writer's own.
  std::vector<Segment> segments_;  // oldest first; the last one is open
  Fd segment_;
  std::size_t segment_size_ = 0;
  bool dirty_ = false;
  std::optional<Error> failure_;

  std::thread thread_;
};

}  // namespace lab::swarm::wal
