#include "engine/layer/unpack.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/random.hpp"
#include "engine/layer/tree.hpp"
#include "tests/engine/layer/tar_builder.hpp"

namespace lab::engine::layer {
namespace {

namespace fs = std::filesystem;

class Unpack : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "owners and devices need root";
    fs::create_directory(root_);
    write_file(outside_ / "secret", "untouched").value();
  }
  Result<UnpackResult> unpack(const std::string& tar) {
    StringSource source(tar);
    return unpack_layer(source, root_);
  }
  Result<UnpackResult> unpack(const TarBuilder& tar) { return unpack(tar.finish()); }
  struct stat status(const std::string& name) const {
    struct stat result {};
    EXPECT_EQ(::lstat((root_ / name).c_str(), &result), 0) << name;
    return result;
  }
  bool is_opaque(const std::string& name) const {
    char value = 0;
    return ::lgetxattr((root_ / name).c_str(), "trusted.overlay.opaque", &value, 1) == 1 &&
           value == 'y';
  }
  bool is_whiteout(const std::string& name) const {
    const struct stat file = status(name);
    return S_ISCHR(file.st_mode) && file.st_rdev == makedev(0, 0);
  }
  std::string content(const std::string& name) const { return read_file(root_ / name).value(); }

  TemporaryDirectory temporary_;
  fs::path root_ = temporary_.path() / "layer";
  fs::path outside_ = temporary_.path();
};

TEST_F(Unpack, KeepsContentOwnerModeAndTime) {
  TarBuilder tar;
  tar.folder("etc", 0750);
  tar.add({.name = "etc/app", .body = "hello", .mode = 04711, .uid = 12, .gid = 34});
  const auto result = unpack(tar);
  ASSERT_TRUE(result.has_value()) << result.error().message;
  EXPECT_EQ(result->size_bytes, 5U);
  EXPECT_EQ(content("etc/app"), "hello");
  EXPECT_EQ(status("etc/app").st_mode & 07777U, 04711U);
  EXPECT_EQ(status("etc/app").st_uid, 12U);
  EXPECT_EQ(status("etc/app").st_gid, 34U);
  EXPECT_EQ(status("etc/app").st_mtim.tv_sec, 1'600'000'000);
  EXPECT_EQ(status("etc").st_mtim.tv_sec, 1'600'000'000);
  EXPECT_EQ(status("etc").st_mode & 07777U, 0750U);
}

TEST_F(Unpack, ReadsPaxNamesAndAttributes) {
  TarBuilder tar;
  const std::string name = std::string(150, 'd') + "/" + "gr\xc3\xbc\xc3\x9f" + "e";
  tar.pax({{"path", name}, {"SCHILY.xattr.trusted.note", "value"}}).file("x", "1");
  const auto result = unpack(tar);
  ASSERT_TRUE(result.has_value()) << result.error().message;
  EXPECT_EQ(content(name), "1");
  char value[8] = {};
  EXPECT_EQ(::lgetxattr((root_ / name).c_str(), "trusted.note", value, sizeof value), 5);
}

TEST_F(Unpack, TurnsWhiteoutsIntoOverlaysOwn) {
  TarBuilder tar;
  tar.folder("a").file("a/.wh.gone", "").file("a/.wh..wh.plnk", "").file(".wh.top", "");
  tar.folder("b").file("b/.wh..wh..opq", "");
  ASSERT_TRUE(unpack(tar).has_value());
  EXPECT_TRUE(is_whiteout("a/gone"));
  EXPECT_TRUE(is_whiteout("top"));
  EXPECT_TRUE(is_opaque("b"));
  EXPECT_FALSE(is_opaque("a"));
  EXPECT_FALSE(fs::exists(root_ / "a/.wh.gone"));
  EXPECT_FALSE(fs::exists(root_ / "a/.wh..wh.plnk"));
}

TEST_F(Unpack, MakesAFolderOpaqueThatIsAlsoWhitedOut) {
  TarBuilder before;
  before.file(".wh.d", "").folder("d").file("d/new", "1");
  ASSERT_TRUE(unpack(before).has_value());
  EXPECT_TRUE(is_opaque("d"));
  EXPECT_EQ(content("d/new"), "1");
  TarBuilder after;
  after.folder("e").file("e/new", "1").file(".wh.e", "").file("f", "kept").file(".wh.f", "");
  ASSERT_TRUE(unpack(after).has_value());
  EXPECT_TRUE(is_opaque("e"));
  EXPECT_EQ(content("f"), "kept");
}

TEST_F(Unpack, RefusesPathsThatLeaveTheTree) {
  for (const std::string name : {"../secret", "a/../../secret", ".wh...", "a/.wh..", "../.wh.x"}) {
    TarBuilder tar;
    tar.file(name, "overwritten");
    const auto result = unpack(tar);
    ASSERT_TRUE(result.has_error()) << name;
    EXPECT_EQ(result.error().code, Code::invalid_argument) << result.error().message;
  }
  EXPECT_EQ(read_file(outside_ / "secret").value(), "untouched");
}

TEST_F(Unpack, TakesAbsolutePathsAsPathsInTheTree) {
  TarBuilder tar;
  tar.file("/etc/motd", "hi").file("./x/../y", "1");
  ASSERT_TRUE(unpack(tar).has_value());
  EXPECT_EQ(content("etc/motd"), "hi");
  EXPECT_EQ(content("y"), "1");
}

TEST_F(Unpack, ResolvesLinksInsideTheTreeOnly) {
  TarBuilder tar;
  tar.link("up", "../..").link("abs", outside_.string()).link("dir", "/real").folder("real");
  tar.file("dir/inside", "1");
  tar.file("up/from-up", "2");
  ASSERT_TRUE(unpack(tar).has_value());
  EXPECT_EQ(content("real/inside"), "1");
  EXPECT_EQ(content("from-up"), "2");
  TarBuilder absolute;
  absolute.file("abs/secret", "overwritten");
  static_cast<void>(unpack(absolute));
  EXPECT_EQ(read_file(outside_ / "secret").value(), "untouched");
}

TEST_F(Unpack, ReplacesALinkInsteadOfWritingThroughIt) {
  TarBuilder tar;
  tar.link("x", outside_.string() + "/secret").file("x", "mine");
  ASSERT_TRUE(unpack(tar).has_value());
  EXPECT_EQ(content("x"), "mine");
  EXPECT_EQ(read_file(outside_ / "secret").value(), "untouched");
}

TEST_F(Unpack, LinksHardInsideTheTreeOnly) {
  TarBuilder good;
  good.file("a", "1").link("b", "/a", '1');
  ASSERT_TRUE(unpack(good).has_value());
  EXPECT_EQ(status("a").st_ino, status("b").st_ino);
  EXPECT_EQ(status("a").st_nlink, 2U);
  for (const std::string target : {"../secret", "s/secret", "missing"}) {
    TarBuilder bad;
    bad.link("s", outside_.string()).link("c", target, '1');
    EXPECT_TRUE(unpack(bad).has_error()) << target;
    EXPECT_FALSE(fs::exists(root_ / "c"));
  }
}

TEST_F(Unpack, LeavesOutAttributesThatSteerOverlayfs) {
  TarBuilder tar;
  tar.pax({{"SCHILY.xattr.trusted.overlay.redirect", "/x"}}).folder("d");
  ASSERT_TRUE(unpack(tar).has_value());
  char value[8];
  EXPECT_LT(::lgetxattr((root_ / "d").c_str(), "trusted.overlay.redirect", value, 8), 0);
}

TEST_F(Unpack, ReplacesAFolderByAFileAndBack) {
  TarBuilder tar;
  tar.folder("d").file("d/x", "1").file("d", "file").file("f", "1").folder("f").file("f/y", "2");
  ASSERT_TRUE(unpack(tar).has_value());
  EXPECT_EQ(content("d"), "file");
  EXPECT_EQ(content("f/y"), "2");
}

TEST_F(Unpack, MakesMissingParents) {
  TarBuilder tar;
  tar.file("a/b/c/d", "1");
  ASSERT_TRUE(unpack(tar).has_value());
  EXPECT_EQ(status("a/b").st_mode & 07777U, 0755U);
}

// Random archives of names that lead everywhere: whatever becomes of them, it stays inside.
TEST_F(Unpack, StaysInsideWhateverTheArchiveSays) {
  const std::string names[] = {"a", "a/secret", "a/b", "b", "b/secret", "../secret", ".wh.a"};
  const std::string targets[] = {outside_.string(), outside_.string() + "/secret", "..", "/", "a"};
  Random random(20260711);
  for (int round = 0; round < 1500; ++round) {
    TarBuilder tar;
    for (std::uint64_t count = 1 + random.below(6); count > 0; --count) {
      TarBuilder::Entry entry;
      entry.name = names[random.below(std::size(names))];
      entry.type = "0125"[random.below(4)];
      entry.link = targets[random.below(std::size(targets))];
      if (entry.type == '0') entry.body = "overwritten";
      tar.add(entry);
    }
    static_cast<void>(unpack(tar));
    ASSERT_EQ(read_file(outside_ / "secret").value(), "untouched") << "round " << round;
    const fs::directory_iterator around(outside_);
    ASSERT_EQ(std::distance(begin(around), end(around)), 2) << "round " << round;
    ASSERT_TRUE(remove_tree(root_).has_value());
    fs::create_directory(root_);
  }
}

TEST_F(Unpack, TakesAnEmptyLayer) {
  ASSERT_TRUE(unpack(std::string(1024, '\0')).has_value());
  EXPECT_TRUE(fs::is_empty(root_));
}

TEST_F(Unpack, RefusesATarCutShort) {
  TarBuilder tar;
  tar.file("a", std::string(5000, 'x'));
  EXPECT_TRUE(unpack(tar.finish().substr(0, 2000)).has_error());
  EXPECT_TRUE(unpack(std::string(3000, 'z')).has_error());
}

TEST(CleanPath, IsLexical) {
  EXPECT_EQ(clean_path("a/./b//c/").value(), "a/b/c");
  EXPECT_EQ(clean_path("/").value(), "");
  EXPECT_EQ(clean_path("a/../b").value(), "b");
  EXPECT_TRUE(clean_path("..").has_error());
  EXPECT_TRUE(clean_path(std::string_view("a\0b", 3)).has_error());
}

TEST(RemoveTree, DoesNotFollowLinks) {
  const TemporaryDirectory temporary;
  fs::create_directories(temporary.path() / "kept");
  write_file(temporary.path() / "kept/file", "1").value();
  fs::create_directories(temporary.path() / "tree/sub");
  fs::create_directory_symlink(temporary.path() / "kept", temporary.path() / "tree/sub/link");
  ASSERT_TRUE(remove_tree(temporary.path() / "tree").has_value());
  EXPECT_FALSE(fs::exists(temporary.path() / "tree"));
  EXPECT_TRUE(fs::exists(temporary.path() / "kept/file"));
  EXPECT_TRUE(remove_tree(temporary.path() / "tree").has_value());
}

}  // namespace
}  // namespace lab::engine::layer
