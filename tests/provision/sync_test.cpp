#include "provision/sync/sync.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

#include "provision/sync/plan.hpp"
#include "provision/sync/tree.hpp"
#include "provision/sync/watch.hpp"
#include "tests/provision/own_sshd.hpp"

namespace lab::provision {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr std::int64_t second_ns = 1'000'000'000;

TreeEntry file(std::uint64_t size, std::int64_t mtime_ns, unsigned mode = 0644) {
  return {EntryKind::file, mode, size, mtime_ns, ""};
}
TreeEntry folder(unsigned mode = 0755) { return {EntryKind::folder, mode, 0, 0, ""}; }
TreeEntry link(std::string target) { return {EntryKind::link, 0, 0, 0, std::move(target)}; }

std::vector<std::string> names(const Tree& tree) {
  std::vector<std::string> all;
  for (const auto& [path, entry] : tree) all.push_back(path);
  return all;
}

TEST(SyncExclude, NamesPathsAndFolders) {
  const Exclude exclude({".git", "*.o", "build/", "docs/*.tmp", "/only-here"});
  EXPECT_TRUE(exclude.matches(".git", true));
  EXPECT_TRUE(exclude.matches("a/b/.git", true));
  EXPECT_TRUE(exclude.matches("a/x.o", false));
  EXPECT_TRUE(exclude.matches("build", true));
  EXPECT_FALSE(exclude.matches("build", false));
  EXPECT_TRUE(exclude.matches("docs/x.tmp", false));
  EXPECT_FALSE(exclude.matches("docs/more/x.tmp", false));
  EXPECT_FALSE(exclude.matches("x.tmp", false));
  EXPECT_TRUE(exclude.matches("only-here", false));
  EXPECT_FALSE(exclude.matches("gitignore", false));
  EXPECT_TRUE(exclude.covers("build/x/y", false));
  EXPECT_FALSE(exclude.covers("built/x/y", false));
}

TEST(SyncTree, LinksAreNotFollowedAndPipesLeftOut) {
  TemporaryDirectory here;
  TemporaryDirectory outside;
  ASSERT_TRUE(write_file(outside.path() / "secret", "x"));
  ASSERT_TRUE(make_directories(here.path() / "a/b"));
  ASSERT_TRUE(write_file(here.path() / "a/b/run", "12345", 0755));
  fs::create_symlink(outside.path(), here.path() / "out");
  ASSERT_EQ(mkfifo((here.path() / "pipe").c_str(), 0600), 0);
  const auto tree = read_tree(here.path(), Exclude({}));
  ASSERT_TRUE(tree) << tree.error().message;
  EXPECT_THAT(names(*tree), ElementsAre("a", "a/b", "a/b/run", "out"));
  EXPECT_EQ(tree->at("a/b/run").size, 5U);
  EXPECT_EQ(tree->at("a/b/run").mode, 0755U);
  EXPECT_EQ(tree->at("out"), link(outside.path()));
  EXPECT_EQ(read_tree(here.path() / "none", Exclude({})).error().code, Code::not_found);
}

TEST(SyncManifest, ComesBackAsItWas) {
  SyncManifest manifest;
  manifest["a name\nof two lines"] = {file(7, 123'456'789, 0600), "abc"};
  manifest["dir"] = {folder(), ""};
  manifest["dir/link"] = {link("../else where"), ""};
  const SyncManifest read = parse_sync_manifest(format_sync_manifest(manifest));
  ASSERT_EQ(read.size(), 3U);
  for (const auto& [path, known] : manifest) {
    EXPECT_EQ(read.at(path).entry, known.entry) << path;
    EXPECT_EQ(read.at(path).sha256, known.sha256) << path;
  }
  EXPECT_THAT(parse_sync_manifest("no manifest"), IsEmpty());
}

class SyncPlanTest : public testing::Test {
 protected:
  SyncPlan plan(const Exclude& exclude = Exclude({})) {
    const ContentHash hash = [this](const std::string& path) -> Result<std::string> {
      hashed_.push_back(path);
      return hashes_[path];
    };
    return plan_sync(wanted_, exclude, known_, found_, hash).value();
  }
  // As it is here, was sent and is found.
  void settled(const std::string& path, const TreeEntry& entry) {
    wanted_[path] = found_[path] = entry;
    known_[path] = {entry, "hash of " + path};
    hashes_[path] = "hash of " + path;
  }

  Tree wanted_;
  SyncManifest known_;
  Tree found_;
  std::map<std::string, std::string> hashes_;
  std::vector<std::string> hashed_;
};

TEST_F(SyncPlanTest, NothingChangedIsNothingToDoAndNothingRead) {
  settled("d", folder());
  settled("d/f", file(5, 3 * second_ns));
  settled("l", link("d/f"));
  const SyncPlan made = plan();
  EXPECT_FALSE(made.touches_machine());
  EXPECT_FALSE(made.manifest_changed);
  EXPECT_THAT(hashed_, IsEmpty());
}

TEST_F(SyncPlanTest, ATouchedFileIsComparedByContent) {
  settled("same", file(5, 3 * second_ns));
  settled("other", file(5, 3 * second_ns));
  wanted_["same"].mtime_ns = wanted_["other"].mtime_ns = 9 * second_ns;
  hashes_["other"] = "new";
  const SyncPlan made = plan();
  EXPECT_THAT(made.copied, ElementsAre("other"));
  EXPECT_THAT(made.adjusted, ElementsAre("same"));
  EXPECT_EQ(made.manifest.at("same").sha256, "hash of same");
}

TEST_F(SyncPlanTest, AModeAloneIsAdjusted) {
  settled("f", file(5, 3 * second_ns));
  settled("d", folder());
  wanted_["f"].mode = 0755;
  wanted_["d"].mode = 0700;
  const SyncPlan made = plan();
  EXPECT_THAT(made.copied, IsEmpty());
  EXPECT_THAT(made.adjusted, ElementsAre("d", "f"));
}

TEST_F(SyncPlanTest, WhatTheMachineChangedIsPutRight) {
  settled("gone", file(5, 3 * second_ns));
  settled("edited", file(5, 3 * second_ns));
  settled("link", link("edited"));
  found_.erase("gone");
  found_["edited"] = file(6, 8 * second_ns);
  found_["link"] = link("elsewhere");
  EXPECT_THAT(plan().copied, ElementsAre("edited", "gone", "link"));
}

TEST_F(SyncPlanTest, WhatVanishedHereGoesThereAndTheMachinesOwnStays) {
  settled("d", folder());
  settled("d/e", folder());
  settled("d/e/f", file(5, 3 * second_ns));
  wanted_.clear();
  found_["d/own"] = file(1, 0);
  const SyncPlan made = plan();
  EXPECT_THAT(made.removed_files, ElementsAre("d/e/f"));
  EXPECT_THAT(made.removed_folders, ElementsAre("d/e", "d"));
  EXPECT_THAT(made.manifest, IsEmpty());
}

TEST_F(SyncPlanTest, KindsGiveWayToEachOther) {
  settled("a", folder());
  settled("a/f", file(1, 0));
  settled("b", file(1, 0));
  found_["c"] = link("/data");
  wanted_.erase("a/f");
  wanted_["a"] = link("b");
  wanted_["b"] = folder();
  wanted_["c"] = folder();
  const SyncPlan made = plan();
  EXPECT_THAT(made.removed_files, ElementsAre("b", "c", "a/f"));
  EXPECT_THAT(made.replaced_folders, ElementsAre("a"));
  EXPECT_THAT(made.new_folders, ElementsAre("b", "c"));
  EXPECT_THAT(made.copied, ElementsAre("a"));
}

TEST_F(SyncPlanTest, WhatIsExcludedNowIsLeftAlone) {
  settled("build", folder());
  settled("build/f", file(1, 0));
  wanted_.clear();
  EXPECT_FALSE(plan(Exclude({"build/"})).touches_machine());
}

// From one folder of this host to another one, through SFTP.
class SyncTest : public testing::Test {
 protected:
  void SetUp() override {
    sshd_.start();
    session_.emplace(sshd_.connect().value());
    config_.from = from_.path();
    config_.to = (to_.path() / "shared folder").string();
  }
  void write(const std::string& path, std::string_view content, mode_t mode = 0644) {
    ASSERT_TRUE(make_directories((from_.path() / path).parent_path()));
    ASSERT_TRUE(write_file(from_.path() / path, content, mode));
  }
  // As if it had been written long ago.
  void age(const std::string& path, std::chrono::seconds by = std::chrono::seconds(100)) {
    fs::last_write_time(from_.path() / path, fs::file_time_type::clock::now() - by);
  }
  SyncOutcome sync() {
    auto outcome = sync_folder(*session_, config_, clock_, manifests_);
    EXPECT_TRUE(outcome) << outcome.error().message;
    return outcome ? *outcome : SyncOutcome{};
  }
  [[nodiscard]] fs::path there(const std::string& path) const {
    return fs::path(config_.to) / path;
  }
  [[nodiscard]] std::string read_there(const std::string& path) const {
    auto content = read_file(there(path));
    return content ? *content : content.error().message;
  }

  OwnSshd sshd_;
  std::optional<SshSession> session_;
  TemporaryDirectory from_{"lab-sync-from"};
  TemporaryDirectory to_{"lab-sync-to"};
  std::string manifests_ = (to_.path() / "manifests").string();
  SyncConfig config_;
  SystemClock clock_;
};

TEST_F(SyncTest, TreeArrivesAndASecondSyncCopiesNothing) {
  write("a/run me", std::string(700'000, 'x') + "end", 0755);
  write("it's \"quoted\" $x\n", "odd");
  write("empty", "");
  fs::create_directories(from_.path() / "folder/none in it");
  fs::permissions(from_.path() / "folder", fs::perms{0700});
  fs::create_symlink("/etc/shadow", from_.path() / "out");
  age("a/run me");
  const SyncOutcome first = sync();
  EXPECT_EQ(first.copied, 4U);
  EXPECT_EQ(first.bytes, 700'006U);
  EXPECT_EQ(read_there("a/run me"), std::string(700'000, 'x') + "end");
  EXPECT_EQ(read_there("it's \"quoted\" $x\n"), "odd");
  EXPECT_EQ(read_there("empty"), "");
  EXPECT_TRUE(fs::is_directory(there("folder/none in it")));
  EXPECT_EQ(fs::status(there("folder")).permissions(), fs::perms{0700});
  EXPECT_EQ(fs::status(there("a/run me")).permissions(), fs::perms{0755});
  EXPECT_EQ(fs::read_symlink(there("out")), "/etc/shadow");
  struct stat sent {};
  struct stat got {};
  stat((from_.path() / "a/run me").c_str(), &sent);
  stat(there("a/run me").c_str(), &got);
  EXPECT_EQ(sent.st_mtim.tv_sec, got.st_mtim.tv_sec);
  EXPECT_FALSE(fs::exists(there(".lab-sync")));
  const SyncOutcome second = sync();
  EXPECT_FALSE(second.changed()) << second.words();
  EXPECT_EQ(second.words(), config_.to + ": up to date");
}

TEST_F(SyncTest, OnlyWhatChangedCrosses) {
  write("a", "one");
  write("b/c", "two");
  write("b/d", "three");
  sync();
  write("b/c", "2");
  age("a");
  fs::remove(from_.path() / "b/d");
  const SyncOutcome outcome = sync();
  EXPECT_EQ(outcome.copied, 1U);
  EXPECT_EQ(outcome.adjusted, 1U);
  EXPECT_EQ(outcome.removed, 1U);
  EXPECT_EQ(outcome.bytes, 1U);
  EXPECT_EQ(read_there("b/c"), "2");
  EXPECT_FALSE(fs::exists(there("b/d")));
}

TEST_F(SyncTest, TheMachinesOwnFilesStayAndItsChangesAreReplaced) {
  write("d/mine", "mine");
  sync();
  ASSERT_TRUE(write_file(there("d/own"), "own"));
  ASSERT_TRUE(write_file(there("d/mine"), "changed"));
  EXPECT_EQ(sync().copied, 1U);
  EXPECT_EQ(read_there("d/mine"), "mine");
  fs::remove_all(from_.path() / "d");
  sync();
  EXPECT_FALSE(fs::exists(there("d/mine")));
  EXPECT_EQ(read_there("d/own"), "own");
}

TEST_F(SyncTest, AFileIsReplacedWhole) {
  write("f", "old");
  sync();
  const Fd reader(open(there("f").c_str(), O_RDONLY));
  write("f", "new");
  sync();
  char text[4] = {};
  EXPECT_EQ(read(reader.get(), text, 3), 3);
  EXPECT_STREQ(text, "old");  // who had it open goes on with the old one
  EXPECT_EQ(read_there("f"), "new");
}

TEST_F(SyncTest, NothingIsWrittenThroughTheMachinesLinks) {
  write("d/f", "content");
  sync();
  fs::remove_all(there("d"));
  TemporaryDirectory elsewhere;
  fs::create_symlink(elsewhere.path(), there("d"));
  sync();
  EXPECT_EQ(read_there("d/f"), "content");
  EXPECT_FALSE(fs::is_symlink(there("d")));
  EXPECT_TRUE(fs::is_empty(elsewhere.path()));
}

TEST_F(SyncTest, AFolderOfTheMachinesInTheWayIsAnError) {
  write("x", "file");
  ASSERT_TRUE(make_directories(there("x/own")));
  const auto outcome = sync_folder(*session_, config_, clock_, manifests_);
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().code, Code::conflict);
  EXPECT_THAT(outcome.error().message, HasSubstr("remove one of the two"));
  EXPECT_THAT(outcome.error().message, HasSubstr("'x'"));
}

TEST_F(SyncTest, AnInterruptedSyncIsFinishedByTheNext) {
  write("f", "content");
  ASSERT_TRUE(make_directories(there(".lab-sync/0")));
  ASSERT_TRUE(write_file(there(".lab-sync/0/f"), "half"));
  sync();
  EXPECT_EQ(read_there("f"), "content");
  EXPECT_FALSE(fs::exists(there(".lab-sync")));
}

TEST_F(SyncTest, ThousandFilesCrossInSeconds) {
  for (int i = 0; i < 1000; ++i) write(fmt::format("d{}/f{}", i % 10, i), "content");
  EXPECT_EQ(sync().copied, 1000U);
  EXPECT_FALSE(sync().changed());
}

TEST(FolderWatchTest, TellsWhichFolderChangedAndSeesNewOnesToo) {
  TemporaryDirectory one;
  TemporaryDirectory two;
  const SystemClock clock;
  const std::vector<SyncConfig> folders = {{one.path(), "/one", {"skip"}},
                                           {two.path(), "/two", {}}};
  auto watch = FolderWatch::open(folders, clock);
  ASSERT_TRUE(watch) << watch.error().message;
  std::ofstream(one.path() / "skip") << "x";
  ASSERT_TRUE(make_directories(two.path() / "new/below"));
  EXPECT_THAT(*watch->wait(), ElementsAre(1U));
  ASSERT_TRUE(write_file(two.path() / "new/below/f", "x"));
  EXPECT_THAT(*watch->wait(), ElementsAre(1U));
  ASSERT_TRUE(write_file(one.path() / "f", "x"));
  fs::remove_all(two.path() / "new");
  EXPECT_THAT(*watch->wait(), ElementsAre(0U, 1U));
}

TEST(FolderWatchTest, AFolderThatGoesIsAnError) {
  TemporaryDirectory above;
  ASSERT_TRUE(make_directories(above.path() / "f"));
  const SystemClock clock;
  auto watch = FolderWatch::open({{above.path() / "f", "/f", {}}}, clock);
  ASSERT_TRUE(watch);
  fs::remove(above.path() / "f");
  EXPECT_EQ(watch->wait().error().code, Code::not_found);
}

}  // namespace
}  // namespace lab::provision
