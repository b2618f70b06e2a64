// COPY and ADD on folders, without containers. Owners need root.
#include "engine/build/place.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

#include "base/file.hpp"

namespace lab::engine::build {
namespace {

namespace fs = std::filesystem;

class Place : public testing::Test {
 protected:
  void SetUp() override {
    fs::create_directories(context());
    fs::create_directories(image());
  }
  fs::path context() const { return folder_.path() / "context"; }
  fs::path image() const { return folder_.path() / "image"; }
  void put(const fs::path& path, std::string_view text) {
    fs::create_directories(path.parent_path());
    std::ofstream(path) << text;
  }
  std::string get(const fs::path& path) {
    auto text = read_file(path);
    return text ? *text : "absent";
  }

  Result<void> copy(const std::string& word, const std::string& destination) {
    LAB_TRY(const std::vector<Source> sources, find_sources(context(), word));
    Placement placement;
    placement.destination = destination;
    return place_sources(image(), sources, placement);
  }
  std::string digest(const std::string& word) {
    auto sources = find_sources(context(), word);
    return sources ? digest_of(*sources) : sources.error().message;
  }

  TemporaryDirectory folder_;
};

TEST_F(Place, FilesGoIntoFoldersAndUnderNames) {
  put(context() / "a", "1");
  put(context() / "d/b", "2");
  ASSERT_TRUE(copy("a", "/new/name"));
  ASSERT_TRUE(copy("a", "/folder/"));
  ASSERT_TRUE(copy("a", "/folder"));  // which is there now
  ASSERT_TRUE(copy("d", "/tree"));
  ASSERT_TRUE(copy(".", "/all"));
  EXPECT_EQ(get(image() / "new/name"), "1");
  EXPECT_EQ(get(image() / "folder/a"), "1");
  EXPECT_EQ(get(image() / "tree/b"), "2");
  EXPECT_EQ(get(image() / "all/d/b"), "2");
}

TEST_F(Place, LinksOfTheContextEndInTheContext) {
  put(folder_.path() / "secret", "outside");
  put(context() / "real", "inside");
  fs::create_symlink("../secret", context() / "up");
  fs::create_symlink("/real", context() / "absolute");
  fs::create_symlink("..", context() / "parent");
  EXPECT_EQ(copy("up", "/x").error().code, Code::not_found);
  EXPECT_EQ(copy("parent/secret", "/x").error().code, Code::not_found);
  ASSERT_TRUE(copy("absolute", "/x"));
  EXPECT_EQ(get(image() / "x"), "inside");
  EXPECT_EQ(copy("../secret", "/x").error().message,
            "forbidden path outside the build context: ../secret ()");
}

TEST_F(Place, LinksOfTheImageEndInTheImage) {
  put(context() / "a", "new");
  put(folder_.path() / "victim", "old");
  fs::create_symlink("../victim", image() / "file");
  fs::create_symlink("../..", image() / "up");
  fs::create_symlink("/deep/down", image() / "missing");
  ASSERT_TRUE(copy("a", "/file"));
  ASSERT_TRUE(copy("a", "/up/victim"));
  ASSERT_TRUE(copy("a", "/missing/"));
  EXPECT_EQ(get(folder_.path() / "victim"), "old");
  EXPECT_EQ(get(image() / "victim"), "new");
  EXPECT_EQ(get(image() / "deep/down/a"), "new");
}

TEST_F(Place, FoldersAreMergedAndOtherThingsReplaced) {
  put(context() / "d/a", "new");
  put(context() / "d/was-folder", "file");
  put(image() / "d/a", "old");
  put(image() / "d/kept", "kept");
  put(image() / "d/was-folder/x", "gone");
  ASSERT_TRUE(copy("d", "/d"));
  EXPECT_EQ(get(image() / "d/a"), "new");
  EXPECT_EQ(get(image() / "d/kept"), "kept");
  EXPECT_EQ(get(image() / "d/was-folder"), "file");
}

TEST_F(Place, WildcardsNameSeveralSources) {
  put(context() / "a1", "1");
  put(context() / "a2", "2");
  put(context() / "sub/a3", "3");
  auto sources = find_sources(context(), "a*");
  ASSERT_TRUE(sources);
  ASSERT_EQ(sources->size(), 2U);
  EXPECT_EQ((*sources)[0].name, "a1");
  EXPECT_TRUE(digest_of(*sources).starts_with("multi:"));
  EXPECT_EQ(find_sources(context(), "*/a?")->size(), 1U);
  EXPECT_TRUE(find_sources(context(), "z*")->empty());
}

TEST_F(Place, DigestsDependOnContentNameAndModeButNotOnTimes) {
  put(context() / "a", "1");
  const std::string before = digest("a");
  EXPECT_TRUE(before.starts_with("file:"));
  const timespec old[2] = {{1, 0}, {1, 0}};
  ASSERT_EQ(utimensat(AT_FDCWD, (context() / "a").c_str(), old, 0), 0);
  EXPECT_EQ(digest("a"), before);
  chmod((context() / "a").c_str(), 0755);
  EXPECT_NE(digest("a"), before);
  const std::string tree = digest(".");
  EXPECT_TRUE(tree.starts_with("dir:"));
  fs::create_symlink("a", context() / "l");
  EXPECT_NE(digest("."), tree);
  EXPECT_EQ(digest("l"), digest("a"));
}

}  // namespace
}  // namespace lab::engine::build
