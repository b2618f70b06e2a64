#include "swarm/wal/disk_log.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>

#include "base/log.hpp"

namespace lab::swarm::wal {

namespace fs = std::filesystem;

namespace {

constexpr std::size_t file_bytes_max = std::size_t{1} << 31;

Result<void> write_all(int fd, std::string_view bytes, const fs::path& path) {
  while (!bytes.empty()) {
    ssize_t written = ::write(fd, bytes.data(), bytes.size());
    if (written < 0) {
      if (errno == EINTR) continue;
      return errno_error(errno, fmt::format("writing {}", path.string()));
    }
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
  return {};
}

Result<void> cut_file(const fs::path& path, std::size_t size) {
  Fd fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!fd || ::ftruncate(fd.get(), static_cast<off_t>(size)) != 0 || ::fsync(fd.get()) != 0)
    return errno_error(errno, fmt::format("cutting {} to {} bytes", path.string(), size));
  return {};
}

Result<void> remove_file(const fs::path& path) {
  if (::unlink(path.c_str()) != 0 && errno != ENOENT)
    return errno_error(errno, fmt::format("removing {}", path.string()));
  return {};
}

std::optional<std::uint64_t> number_after(std::string_view name, std::string_view prefix) {
  if (!name.starts_with(prefix)) return std::nullopt;
  name.remove_prefix(prefix.size());
  std::uint64_t number = 0;
  auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
  if (error != std::errc{} || end != name.data() + name.size()) return std::nullopt;
  return number;
}

std::string snapshot_name(const raft::Snapshot& snapshot) {
  return fmt::format("snapshot-{:020}-{}", snapshot.index, snapshot.term);
}

// Puts a batch behind (or over the end of) the entries read so far.
Result<void> add_batch(raft::Loaded& loaded, Batch batch) {
  // Before the first batch nothing is known. A batch may also begin before the oldest entry: what
  // it takes the place of went with a segment of its own.
  if (batch.reset || loaded.first_index == 0 || batch.first_index < loaded.first_index) {
    loaded.first_index = batch.first_index;
    loaded.entries.clear();
  }
  std::uint64_t next = loaded.first_index + loaded.entries.size();
  if (batch.first_index > next) {
    return make_error(Code::internal, "the log goes on at index {} where {} was expected",
                      batch.first_index, next);
  }
  loaded.entries.resize(batch.first_index - loaded.first_index);
  for (raft::Entry& entry : batch.entries) loaded.entries.push_back(std::move(entry));
  return {};
}

}  // namespace

DiskLog::DiskLog(fs::path folder, Post post, Report report, std::size_t segment_bytes)
    : folder_(std::move(folder)),
      post_(std::move(post)),
      report_(std::move(report)),
      segment_bytes_(segment_bytes) {
  thread_ = std::thread([this] { writer(); });
}

DiskLog::~DiskLog() {
  {
    std::lock_guard lock(mutex_);
    ++*generation_;
    stop_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

Result<void> DiskLog::open() {
  LAB_CHECK(make_directories(folder_, 0700));
  LAB_TRY(lock_, lock_file(folder_ / "lock", 5000));
  return {};
}

fs::path DiskLog::segment_path(std::uint64_t sequence) const {
  return folder_ / fmt::format("log-{:020}", sequence);
}

Result<void> DiskLog::sync_folder() const {
  Fd fd(::open(folder_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd || ::fsync(fd.get()) != 0)
    return errno_error(errno, fmt::format("syncing {}", folder_.string()));
  return {};
}

Result<std::vector<std::uint64_t>> DiskLog::list_segments() const {
  std::vector<std::uint64_t> sequences;
  std::error_code error;
  for (const auto& file : fs::directory_iterator(folder_, error)) {
    if (auto sequence = number_after(file.path().filename().string(), "log-"))
      sequences.push_back(*sequence);
  }
  if (error) return errno_error(error.value(), fmt::format("reading {}", folder_.string()));
  std::sort(sequences.begin(), sequences.end());
  return sequences;
}

// ---- Loading

Result<raft::Loaded> DiskLog::load() {
  drain(false);
  raft::Loaded loaded;
  Result<std::string> metadata = read_file(folder_ / "metadata");
  if (!metadata) {
    if (metadata.error().code != Code::not_found) return metadata.error();
    LAB_CHECK(remove_all_but_lock());
    return loaded;
  }
  Result<Metadata> decoded = decode_metadata(*metadata);
  if (!decoded) return decoded.error().wrap("{}", (folder_ / "metadata").string());
  metadata_ = *decoded;
  loaded.term = metadata_.term;
  loaded.voted_for = metadata_.voted_for;

  LAB_TRY(loaded.snapshot, load_snapshots());
  LAB_TRY(std::vector<std::uint64_t> sequences, list_segments());
  loaded.first_index = 0;  // unknown until the first batch is read
  segments_.clear();
  for (std::size_t i = 0; i < sequences.size(); ++i)
    LAB_CHECK(load_segment(sequences[i], i + 1 == sequences.size(), loaded));
  if (loaded.first_index == 0)
    loaded.first_index = loaded.snapshot ? loaded.snapshot->index + 1 : 1;
  LAB_TRY(bool dropped, reconcile(loaded));

  LAB_CHECK(open_segment());
  if (dropped) {
    LAB_CHECK(write_batch(encode_batch(loaded.first_index, true, {}), 0));
    LAB_CHECK(sync_segment());
    drop_segments_before(loaded.first_index);
  }
  return loaded;
}

// Fits the log to the snapshot; true when the log was dropped.
Result<bool> DiskLog::reconcile(raft::Loaded& loaded) const {
  if (!loaded.snapshot) {
    if (loaded.first_index == 1) return false;
    return make_error(Code::internal, "{}: the log begins at index {} and there is no snapshot",
                      folder_.string(), loaded.first_index);
  }
  std::uint64_t index = loaded.snapshot->index;
  if (loaded.first_index > index + 1) {
    return make_error(Code::internal, "{}: the log begins at index {}, the snapshot ends at {}",
                      folder_.string(), loaded.first_index, index);
  }
  std::uint64_t next = loaded.first_index + loaded.entries.size();
  bool behind = next <= index;
  bool contradicts = !behind && index >= loaded.first_index &&
                     loaded.entries[index - loaded.first_index].term != loaded.snapshot->term;
  if (!behind && !contradicts) return false;
  loaded.entries.clear();
  loaded.first_index = index + 1;
  return true;
}

Result<std::optional<raft::Snapshot>> DiskLog::load_snapshots() {
  std::vector<fs::path> found;
  std::vector<fs::path> stale;
  std::error_code error;
  for (const auto& file : fs::directory_iterator(folder_, error)) {
    if (file.path().extension() == ".tmp") {
      stale.push_back(file.path());  // a durable write that did not get to its end
    } else if (file.path().filename().string().starts_with("snapshot-")) {
      found.push_back(file.path());
    }
  }
  if (error) return errno_error(error.value(), fmt::format("reading {}", folder_.string()));
  for (const fs::path& file : stale) LAB_CHECK(remove_file(file));
  std::sort(found.begin(), found.end());  // the index has a fixed width
  snapshot_path_.reset();
  if (found.empty()) return std::optional<raft::Snapshot>{};
  snapshot_path_ = found.back();
  for (std::size_t i = 0; i + 1 < found.size(); ++i) LAB_CHECK(remove_file(found[i]));
  LAB_TRY(raft::Snapshot snapshot, read_snapshot());
  return std::optional(std::move(snapshot));
}

Result<void> DiskLog::load_segment(std::uint64_t sequence, bool last, raft::Loaded& loaded) {
  fs::path path = segment_path(sequence);
  LAB_TRY(std::string bytes, read_file(path, file_bytes_max));
  std::string_view rest = bytes;
  if (!is_segment_header(rest, sequence)) {
    if (last && !holds_intact_batch(rest)) return remove_file(path);  // torn when it was made
    return make_error(Code::internal, "{}: damaged header", path.string());
  }
  rest.remove_prefix(segment_header_bytes);
  Segment segment{.sequence = sequence, .last_index = 0};
  while (!rest.empty()) {
    std::size_t offset = bytes.size() - rest.size();
    std::optional<DecodedBatch> decoded = decode_batch(rest);
    if (!decoded) {
      if (!last || holds_intact_batch(rest)) {
        return make_error(Code::internal, "{}: damaged record at byte {}", path.string(), offset);
      }
      log::info("{}: dropping an incomplete record of {} bytes at the end", path.string(),
                rest.size());
      LAB_CHECK(cut_file(path, offset));
      break;
    }
    if (!decoded->batch.entries.empty()) {
      segment.last_index = std::max(segment.last_index,
                                    decoded->batch.first_index + decoded->batch.entries.size() - 1);
    }
    Result<void> added = add_batch(loaded, std::move(decoded->batch));
    if (!added) return added.error().wrap("{} at byte {}", path.string(), offset);
    rest.remove_prefix(decoded->size);
  }
  segments_.push_back(segment);
  return {};
}

Result<raft::Snapshot> DiskLog::read_snapshot() {
  if (!snapshot_path_) return make_error(Code::not_found, "{}: no snapshot", folder_.string());
  LAB_TRY(std::string bytes, read_file(*snapshot_path_, file_bytes_max));
  Result<raft::Snapshot> snapshot = decode_snapshot(bytes);
  if (!snapshot) return snapshot.error().wrap("{}", snapshot_path_->string());
  return snapshot;
}

// ---- Durable at once

Result<void> DiskLog::save_metadata(const Metadata& metadata) {
  LAB_CHECK(write_file_durably(folder_ / "metadata", encode_metadata(metadata), 0600));
  metadata_ = metadata;
  return {};
}

Result<void> DiskLog::set_term(std::uint64_t term) {
  return save_metadata({.term = term, .voted_for = 0});
}

Result<void> DiskLog::set_vote(std::uint64_t server_id) {
  return save_metadata({.term = metadata_.term, .voted_for = server_id});
}

// The metadata file, written last, is what makes the log exist.
Result<void> DiskLog::bootstrap(std::span<const raft::Entry> entries) {
  drain(false);
  std::error_code error;
  if (fs::exists(folder_ / "metadata", error))
    return make_error(Code::conflict, "{} holds a log already", folder_.string());
  LAB_CHECK(remove_all_but_lock());
  LAB_CHECK(open_segment());
  LAB_CHECK(write_batch(encode_batch(1, true, entries), entries.size()));
  LAB_CHECK(sync_segment());
  return save_metadata({.term = 1, .voted_for = 0});
}

Result<void> DiskLog::erase() {
  drain(true);
  LAB_CHECK(remove_file(folder_ / "metadata"));
  LAB_CHECK(sync_folder());
  return remove_all_but_lock();
}

Result<void> DiskLog::remove_all_but_lock() {
  ++*generation_;
  segment_.reset();
  segments_.clear();
  segment_size_ = 0;
  dirty_ = false;
  failure_.reset();
  metadata_ = {};
  snapshot_path_.reset();
  std::error_code error;
  std::vector<fs::path> files;
  for (const auto& file : fs::directory_iterator(folder_, error)) {
    if (file.path().filename() != "lock") files.push_back(file.path());
  }
  if (error) return errno_error(error.value(), fmt::format("reading {}", folder_.string()));
  for (const fs::path& file : files) LAB_CHECK(remove_file(file));
  return sync_folder();
}

// ---- Submitting

void DiskLog::append(raft::Ticket ticket, std::uint64_t first_index,
                     std::span<const raft::Entry> entries) {
  Operation operation;
  operation.ticket = ticket;
  operation.first_index = first_index;
  operation.count = entries.size();
  operation.batch = encode_batch(first_index, false, entries);
  submit(std::move(operation));
}

void DiskLog::truncate(std::uint64_t index) {
  Operation operation;
  operation.first_index = index;
  operation.batch = encode_batch(index, false, {});
  submit(std::move(operation));
}

void DiskLog::put_snapshot(raft::Ticket ticket, const raft::Snapshot& snapshot,
                           std::uint64_t trailing) {
  Operation operation;
  operation.ticket = ticket;
  operation.snapshot = snapshot;
  operation.trailing = trailing;
  submit(std::move(operation));
}

void DiskLog::submit(Operation operation) {
  {
    std::lock_guard lock(mutex_);
    queue_.push_back(std::move(operation));
  }
  wake_.notify_one();
}

void DiskLog::drain(bool forget) {
  std::unique_lock lock(mutex_);
  if (forget) queue_.clear();
  rest_.wait(lock, [this] { return !busy_ && queue_.empty(); });
}

// ---- Writing

void DiskLog::writer() {
  std::unique_lock lock(mutex_);
  for (;;) {
    wake_.wait(lock, [this] { return stop_ || !queue_.empty(); });
    if (queue_.empty()) return;
    std::vector<Operation> operations(std::make_move_iterator(queue_.begin()),
                                      std::make_move_iterator(queue_.end()));
    queue_.clear();
    busy_ = true;
    std::uint64_t generation = *generation_;
    lock.unlock();
    std::vector<Result<void>> results;
    run(operations, results);
    lock.lock();
    for (std::size_t i = 0; i < operations.size() && !stop_; ++i) {
      if (operations[i].ticket == 0) continue;
      std::optional<fs::path> snapshot;
      if (operations[i].snapshot) snapshot = folder_ / snapshot_name(*operations[i].snapshot);
      post_([this, generation, current = std::weak_ptr(generation_), ticket = operations[i].ticket,
             result = results[i], snapshot = std::move(snapshot)] {
        std::shared_ptr<std::uint64_t> alive = current.lock();
        if (!alive || *alive != generation) return;
        if (snapshot && result) {
          if (snapshot_path_ && *snapshot_path_ != *snapshot) {
            if (Result<void> removed = remove_file(*snapshot_path_); !removed)
              log::warning("{}", removed.error().message);
          }
          snapshot_path_ = snapshot;
        }
        report_(ticket, result);
      });
    }
    busy_ = false;
    rest_.notify_all();
  }
}

// Writes all, with one sync at the end (snapshots sync what stands before them). After the first
// error nothing is written any more.
void DiskLog::run(const std::vector<Operation>& operations, std::vector<Result<void>>& results) {
  for (const Operation& operation : operations) {
    Result<void> result;
    if (failure_) {
      result = *failure_;
    } else if (operation.snapshot) {
      result = write_snapshot(operation);
    } else {
      result = write_batch(operation.batch, operation.first_index + operation.count - 1);
    }
    if (!result && !failure_) failure_ = result.error();
    results.push_back(std::move(result));
  }
  if (Result<void> synced = sync_segment(); !synced) {
    failure_ = synced.error();
    for (Result<void>& result : results) result = *failure_;
  }
}

Result<void> DiskLog::open_segment() {
  LAB_CHECK(sync_segment());
  std::uint64_t sequence = segments_.empty() ? 1 : segments_.back().sequence + 1;
  fs::path path = segment_path(sequence);
  segment_ = Fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600));
  if (!segment_) return errno_error(errno, fmt::format("creating {}", path.string()));
  std::string header = encode_segment_header(sequence);
  LAB_CHECK(write_all(segment_.get(), header, path));
  if (::fsync(segment_.get()) != 0)
    return errno_error(errno, fmt::format("syncing {}", path.string()));
  LAB_CHECK(sync_folder());
  segment_size_ = header.size();
  segments_.push_back({.sequence = sequence, .last_index = 0});
  return {};
}

Result<void> DiskLog::write_batch(const std::string& batch, std::uint64_t last_index) {
  if (!segment_ || segment_size_ >= segment_bytes_) LAB_CHECK(open_segment());
  LAB_CHECK(write_all(segment_.get(), batch, segment_path(segments_.back().sequence)));
  segment_size_ += batch.size();
  segments_.back().last_index = std::max(segments_.back().last_index, last_index);
  dirty_ = true;
  return {};
}

Result<void> DiskLog::sync_segment() {
  if (!dirty_) return {};
  if (::fdatasync(segment_.get()) != 0)
    return errno_error(errno,
                       fmt::format("syncing {}", segment_path(segments_.back().sequence).string()));
  dirty_ = false;
  return {};
}

Result<void> DiskLog::write_snapshot(const Operation& operation) {
  LAB_CHECK(sync_segment());
  const raft::Snapshot& snapshot = *operation.snapshot;
  LAB_CHECK(write_file_durably(folder_ / snapshot_name(snapshot), encode_snapshot(snapshot), 0600));
  if (operation.trailing == 0) {
    LAB_CHECK(open_segment());
    LAB_CHECK(write_batch(encode_batch(snapshot.index + 1, true, {}), 0));
    LAB_CHECK(sync_segment());
    drop_segments_before(snapshot.index + 1);
  } else if (snapshot.index > operation.trailing) {
    drop_segments_before(snapshot.index - operation.trailing + 1);
  }
  return {};
}

// Whole segments only, oldest first and never the open one. What stays of older entries does no
// harm.
void DiskLog::drop_segments_before(std::uint64_t index) {
  std::size_t count = 0;
  while (count + 1 < segments_.size() && segments_[count].last_index < index) {
    if (Result<void> removed = remove_file(segment_path(segments_[count].sequence)); !removed) {
      log::warning("{}", removed.error().message);
      break;
    }
    ++count;
  }
  segments_.erase(segments_.begin(), segments_.begin() + static_cast<std::ptrdiff_t>(count));
}

}  // namespace lab::swarm::wal
