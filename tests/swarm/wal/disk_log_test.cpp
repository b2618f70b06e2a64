#include "swarm/wal/disk_log.hpp"

#include <gtest/gtest.h>

#include <condition_variable>
#include <deque>
#include <mutex>

#include "base/random.hpp"

namespace lab::swarm::wal {
namespace {

namespace fs = std::filesystem;

// A log with an event loop of its own: reports arrive when wait() runs what was posted.
class Disk {
 public:
  explicit Disk(const fs::path& folder, std::size_t segment_bytes = std::size_t{4} << 20)
      : log(
            folder,
            [this](std::function<void()> work) {
              std::lock_guard lock(mutex_);
              posted_.push_back(std::move(work));
              wake_.notify_one();
            },
            [this](raft::Ticket ticket, Result<void> result) {
              reported.push_back(ticket);
              EXPECT_TRUE(result) << result.error().message;
            },
            segment_bytes) {
    EXPECT_TRUE(log.open());
  }

  // Until `ticket` was reported.
  void wait(raft::Ticket ticket) {
    while (reported.empty() || reported.back() < ticket) run_one();
  }
  void run_one() {
    std::unique_lock lock(mutex_);
    wake_.wait(lock, [this] { return !posted_.empty(); });
    std::function<void()> work = std::move(posted_.front());
    posted_.pop_front();
    lock.unlock();
    work();
  }
  void append(std::uint64_t first, const std::vector<raft::Entry>& entries) {
    log.append(++ticket, first, entries);
    wait(ticket);
  }

  std::vector<raft::Ticket> reported;
  raft::Ticket ticket = 0;

 private:
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> posted_;

 public:
  DiskLog log;  // destroyed first: its thread posts
};

raft::Entry entry(std::uint64_t term, std::string data) {
  return {.term = term, .type = 1, .data = std::move(data)};
}

std::vector<std::string> texts(const raft::Loaded& loaded) {
  std::vector<std::string> result;
  for (const raft::Entry& e : loaded.entries) result.push_back(e.data);
  return result;
}

fs::path newest_segment(const fs::path& folder) {
  fs::path newest;
  for (const auto& file : fs::directory_iterator(folder)) {
    if (file.path().filename().string().starts_with("log-") && file.path() > newest)
      newest = file.path();
  }
  return newest;
}

// A segment with entries "one", "two", "three" in batches of their own.
void write_three(const fs::path& folder) {
  Disk disk(folder);
  ASSERT_TRUE(disk.log.load());
  ASSERT_TRUE(disk.log.set_term(3));
  disk.append(1, {entry(3, "one")});
  disk.append(2, {entry(3, "two")});
  disk.append(3, {entry(3, "three")});
}

TEST(DiskLog, AFreshOneIsPristine) {
  TemporaryDirectory folder;
  Disk disk(folder.path());
  raft::Loaded loaded = disk.log.load().value();
  EXPECT_EQ(loaded.term, 0U);
  EXPECT_EQ(loaded.first_index, 1U);
  EXPECT_TRUE(loaded.entries.empty());
  EXPECT_FALSE(loaded.snapshot);
  EXPECT_FALSE(disk.log.read_snapshot());
}

TEST(DiskLog, TermVoteAndEntriesAreThereAfterReopening) {
  TemporaryDirectory folder;
  {
    Disk disk(folder.path());
    ASSERT_TRUE(disk.log.load());
    ASSERT_TRUE(disk.log.set_term(7));
    ASSERT_TRUE(disk.log.set_vote(3));
    disk.append(1, {entry(6, "one"), entry(7, std::string(100'000, 'x'))});
    disk.append(3, {entry(7, "")});
  }
  Disk disk(folder.path());
  raft::Loaded loaded = disk.log.load().value();
  EXPECT_EQ(loaded.term, 7U);
  EXPECT_EQ(loaded.voted_for, 3U);
  ASSERT_EQ(loaded.entries.size(), 3U);
  EXPECT_EQ(loaded.entries[0].term, 6U);
  EXPECT_EQ(loaded.entries[1].data.size(), 100'000U);
  disk.append(4, {entry(7, "four")});
}

TEST(DiskLog, ANewTermClearsTheVote) {
  TemporaryDirectory folder;
  Disk disk(folder.path());
  ASSERT_TRUE(disk.log.load());
  ASSERT_TRUE(disk.log.set_term(1));
  ASSERT_TRUE(disk.log.set_vote(9));
  ASSERT_TRUE(disk.log.set_term(2));
  raft::Loaded loaded = disk.log.load().value();
  EXPECT_EQ(loaded.term, 2U);
  EXPECT_EQ(loaded.voted_for, 0U);
}

TEST(DiskLog, BootstrapsOnceOnly) {
  TemporaryDirectory folder;
  Disk disk(folder.path());
  ASSERT_TRUE(disk.log.bootstrap(std::vector{entry(1, "configuration")}));
  Result<void> again = disk.log.bootstrap(std::vector{entry(1, "configuration")});
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, Code::conflict);
  raft::Loaded loaded = disk.log.load().value();
  EXPECT_EQ(loaded.term, 1U);
  EXPECT_EQ(texts(loaded), std::vector<std::string>{"configuration"});
}

TEST(DiskLog, ABootstrapThatCrashedBeforeItsEndLeavesAPristineLog) {
  TemporaryDirectory folder;
  {
    Disk disk(folder.path());
    ASSERT_TRUE(disk.log.bootstrap(std::vector{entry(1, "configuration")}));
  }
  fs::remove(folder.path() / "metadata");
  Disk disk(folder.path());
  EXPECT_TRUE(disk.log.load().value().entries.empty());
  EXPECT_TRUE(disk.log.bootstrap(std::vector{entry(1, "configuration")}));
}

TEST(DiskLog, TruncationIsOrderedWithAppendsAndSurvives) {
  TemporaryDirectory folder;
  write_three(folder.path());
  {
    Disk disk(folder.path());
    ASSERT_TRUE(disk.log.load());
    disk.log.truncate(2);
    disk.append(2, {entry(4, "TWO")});
  }
  Disk disk(folder.path());
  EXPECT_EQ(texts(disk.log.load().value()), (std::vector<std::string>{"one", "TWO"}));
}

TEST(DiskLog, ATornTailIsDroppedAtEveryLengthAndTheLogGoesOn) {
  TemporaryDirectory original;
  write_three(original.path());
  fs::path segment = newest_segment(original.path());
  auto whole = static_cast<std::size_t>(fs::file_size(segment));
  std::size_t last = encode_batch(3, false, std::vector{entry(3, "three")}).size();
  for (std::size_t cut = 0; cut <= last; ++cut) {
    TemporaryDirectory copy;
    fs::copy(original.path(), copy.path(), fs::copy_options::recursive);
    fs::resize_file(copy.path() / segment.filename(), whole - cut);
    {
      Disk disk(copy.path());
      raft::Loaded loaded = disk.log.load().value();
      ASSERT_EQ(loaded.entries.size(), cut == 0 ? 3U : 2U) << "cut by " << cut;
      if (cut > 0) disk.append(3, {entry(3, "again")});
    }
    Disk disk(copy.path());
    EXPECT_EQ(texts(disk.log.load().value()).back(), cut == 0 ? "three" : "again");
  }
}

TEST(DiskLog, ATailOfZerosIsDropped) {
  TemporaryDirectory folder;
  write_three(folder.path());
  fs::path segment = newest_segment(folder.path());
  fs::resize_file(segment, fs::file_size(segment) + 4096);
  Disk disk(folder.path());
  EXPECT_EQ(disk.log.load().value().entries.size(), 3U);
}

TEST(DiskLog, ADamagedRecordBeforeAnIntactOneIsAnErrorThatNamesThePlace) {
  TemporaryDirectory original;
  write_three(original.path());
  fs::path segment = newest_segment(original.path());
  std::string bytes = read_file(segment).value();
  std::size_t last = encode_batch(3, false, std::vector{entry(3, "three")}).size();
  for (std::size_t at = segment_header_bytes; at < bytes.size() - last; ++at) {
    std::string damaged = bytes;
    damaged[at] = static_cast<char>(damaged[at] ^ 0x40);
    ASSERT_TRUE(write_file(segment, damaged));
    Disk disk(original.path());
    Result<raft::Loaded> loaded = disk.log.load();
    ASSERT_FALSE(loaded) << "byte " << at;
    EXPECT_NE(loaded.error().message.find(segment.filename().string()), std::string::npos);
  }
}

TEST(DiskLog, DamageInASegmentThatIsNotTheLastIsAnError) {
  TemporaryDirectory folder;
  write_three(folder.path());
  fs::path segment = newest_segment(folder.path());
  {
    Disk disk(folder.path());
    ASSERT_TRUE(disk.log.load());  // opens another segment
  }
  fs::resize_file(segment, fs::file_size(segment) - 1);
  Disk disk(folder.path());
  EXPECT_FALSE(disk.log.load());
}

TEST(DiskLog, ASegmentTornWhileItWasMadeIsForgotten) {
  TemporaryDirectory folder;
  write_three(folder.path());
  for (std::size_t size : {0U, 5U, 19U}) {
    {
      Disk disk(folder.path());
      ASSERT_EQ(disk.log.load().value().entries.size(), 3U);
    }
    fs::resize_file(newest_segment(folder.path()), size);
  }
  Disk disk(folder.path());
  EXPECT_EQ(disk.log.load().value().entries.size(), 3U);
}

TEST(DiskLog, DamagedMetadataOrSnapshotIsAnError) {
  TemporaryDirectory folder;
  write_three(folder.path());
  {
    Disk disk(folder.path());
    ASSERT_TRUE(disk.log.load());
    disk.log.put_snapshot(1, {.index = 2, .term = 3, .data = "state"}, 10);
    disk.wait(1);
  }
  for (const auto& file : fs::directory_iterator(folder.path())) {
    std::string name = file.path().filename().string();
    if (name != "metadata" && !name.starts_with("snapshot-")) continue;
    std::string bytes = read_file(file.path()).value();
    std::string damaged = bytes;
    damaged[damaged.size() - 2] ^= 1;
    ASSERT_TRUE(write_file(file.path(), damaged));
    {
      Disk disk(folder.path());
      EXPECT_FALSE(disk.log.load()) << name;
    }
    ASSERT_TRUE(write_file(file.path(), bytes));
  }
}

TEST(DiskLog, SnapshotKeepsItsConfigurationAndTheTrailingEntries) {
  TemporaryDirectory folder;
  raft::Snapshot snapshot{.index = 3,
                          .term = 3,
                          .configuration = {{1, "10.0.0.1:2377", raft::ServerRole::voter},
                                            {2, "10.0.0.2:2377", raft::ServerRole::spare}},
                          .configuration_index = 1,
                          .data = std::string("state\0more", 10)};
  write_three(folder.path());
  {
    Disk disk(folder.path());
    ASSERT_TRUE(disk.log.load());
    disk.log.put_snapshot(1, snapshot, 1);
    EXPECT_FALSE(disk.log.read_snapshot()) << "not reported yet";
    disk.wait(1);
    EXPECT_EQ(disk.log.read_snapshot().value().data, snapshot.data);
    disk.ticket = 1;
    disk.append(4, {entry(3, "four")});
  }
  Disk disk(folder.path());
  raft::Loaded loaded = disk.log.load().value();
  ASSERT_TRUE(loaded.snapshot);
  EXPECT_EQ(loaded.snapshot->data, snapshot.data);
  ASSERT_EQ(loaded.snapshot->configuration.size(), 2U);
  EXPECT_EQ(loaded.snapshot->configuration[1].address, "10.0.0.2:2377");
  EXPECT_EQ(loaded.snapshot->configuration[1].role, raft::ServerRole::spare);
  EXPECT_LE(loaded.first_index, 3U);
  EXPECT_EQ(texts(loaded).back(), "four");
}

TEST(DiskLog, AnInstalledSnapshotReplacesTheWholeLog) {
  TemporaryDirectory folder;
  write_three(folder.path());
  {
    Disk disk(folder.path());
    ASSERT_TRUE(disk.log.load());
    disk.log.put_snapshot(1, {.index = 50, .term = 4, .data = "far"}, 0);
    disk.wait(1);
    disk.ticket = 1;
    disk.append(51, {entry(4, "next")});
  }
  Disk disk(folder.path());
  raft::Loaded loaded = disk.log.load().value();
  EXPECT_EQ(loaded.first_index, 51U);
  EXPECT_EQ(texts(loaded), std::vector<std::string>{"next"});
}

TEST(DiskLog, ACrashBetweenAnInstalledSnapshotAndTheDropOfTheLogIsRepaired) {
  for (std::uint64_t index : {2U, 50U}) {  // 2: an entry of another term; 50: beyond the end
    TemporaryDirectory folder;
    write_three(folder.path());
    raft::Snapshot snapshot{.index = index, .term = 4, .data = "far"};
    ASSERT_TRUE(write_file(folder.path() / fmt::format("snapshot-{:020}-4", index),
                           encode_snapshot(snapshot)));
    for (int round = 0; round < 2; ++round) {
      Disk disk(folder.path());
      raft::Loaded loaded = disk.log.load().value();
      EXPECT_EQ(loaded.first_index, index + 1);
      EXPECT_EQ(loaded.entries.size(), static_cast<std::size_t>(round));
      if (round == 0) disk.append(index + 1, {entry(4, "next")});
    }
  }
}

TEST(DiskLog, AHoleInTheLogIsAnError) {
  TemporaryDirectory folder;
  write_three(folder.path());
  {
    Disk disk(folder.path());
    ASSERT_TRUE(disk.log.load());
    disk.append(9, {entry(3, "nine")});
  }
  Disk disk(folder.path());
  EXPECT_FALSE(disk.log.load());
}

TEST(DiskLog, ErasingForgetsOpenTicketsAndLeavesAPristineLog) {
  TemporaryDirectory folder;
  Disk disk(folder.path());
  ASSERT_TRUE(disk.log.load());
  ASSERT_TRUE(disk.log.set_term(1));
  for (std::uint64_t i = 1; i <= 20; ++i) disk.log.append(i, i, std::vector{entry(1, "x")});
  ASSERT_TRUE(disk.log.erase());
  EXPECT_EQ(disk.log.load().value().term, 0U);
  ASSERT_TRUE(disk.log.set_term(1));
  disk.log.append(100, 1, std::vector{entry(1, "new")});
  disk.wait(100);
  EXPECT_EQ(disk.reported, std::vector<raft::Ticket>{100});
}

TEST(DiskLog, OneProcessAtATime) {
  TemporaryDirectory folder;
  Disk disk(folder.path());
  Result<Fd> lock = lock_file(folder.path() / "lock", 10);
  EXPECT_FALSE(lock);
}

// What a log has to hold, kept in memory.
struct Model {
  std::uint64_t first = 1;
  std::vector<raft::Entry> entries;
  std::uint64_t snapshot_index = 0;
  [[nodiscard]] std::uint64_t next() const { return first + entries.size(); }
};

void check_against(const Model& model, const fs::path& folder, std::uint64_t step) {
  Disk disk(folder);
  Result<raft::Loaded> loaded = disk.log.load();
  ASSERT_TRUE(loaded) << "step " << step << ": " << loaded.error().message;
  ASSERT_EQ(loaded->first_index + loaded->entries.size(), model.next()) << "step " << step;
  EXPECT_EQ(loaded->snapshot ? loaded->snapshot->index : 0, model.snapshot_index);
  ASSERT_LE(loaded->first_index, model.first) << "step " << step;
  for (std::size_t i = 0; i < model.entries.size(); ++i) {
    const raft::Entry& found = loaded->entries[model.first - loaded->first_index + i];
    ASSERT_EQ(found.data, model.entries[i].data) << "step " << step << ", entry " << i;
    ASSERT_EQ(found.term, model.entries[i].term);
  }
}

// One random submission to both; gives the ticket to wait for.
void step_both(Random& random, Disk& disk, Model& model, std::uint64_t step) {
  std::uint64_t kind = random.below(10);
  if (kind < 7) {
    std::vector<raft::Entry> entries;
    for (std::uint64_t i = random.below(4) + 1; i > 0; --i)
      entries.push_back(entry(step, fmt::format("{}-{}", step, random.below(1000))));
    disk.log.append(++disk.ticket, model.next(), entries);
    model.entries.insert(model.entries.end(), entries.begin(), entries.end());
  } else if (kind == 7 && model.next() > std::max(model.first, model.snapshot_index + 1)) {
    std::uint64_t low = std::max(model.first, model.snapshot_index + 1);
    std::uint64_t index = low + random.below(model.next() - low);
    disk.log.truncate(index);
    model.entries.resize(index - model.first);
  } else if (kind == 8 && !model.entries.empty() && model.next() - 1 > model.snapshot_index) {
    raft::Snapshot snapshot{.index = model.next() - 1, .term = model.entries.back().term};
    std::uint64_t trailing = 1 + random.below(5);
    disk.log.put_snapshot(++disk.ticket, snapshot, trailing);
    model.snapshot_index = snapshot.index;
    std::uint64_t keep = snapshot.index < trailing ? 1 : snapshot.index - trailing + 1;
    if (keep > model.first) {
      model.entries.erase(model.entries.begin(),
                          model.entries.begin() + static_cast<std::ptrdiff_t>(keep - model.first));
      model.first = keep;
    }
  } else if (kind == 9) {
    raft::Snapshot snapshot{.index = model.next() + random.below(5), .term = step};
    disk.log.put_snapshot(++disk.ticket, snapshot, 0);
    model = {.first = snapshot.index + 1, .entries = {}, .snapshot_index = snapshot.index};
  }
}

TEST(DiskLog, HoldsWhatARandomHistoryOfOperationsLeft) {
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    Random random(seed);
    TemporaryDirectory folder;
    Model model;
    std::uint64_t step = 1;
    for (int life = 0; life < 4; ++life) {
      {
        Disk disk(folder.path(), 200);
        ASSERT_TRUE(disk.log.load());
        ASSERT_TRUE(disk.log.set_term(step));
        for (std::uint64_t count = random.below(30); count > 0; --count)
          step_both(random, disk, model, step++);
        if (disk.ticket > 0) disk.wait(disk.ticket);
      }
      check_against(model, folder.path(), step);
      if (HasFatalFailure()) return;
    }
  }
}

}  // namespace
}  // namespace lab::swarm::wal
