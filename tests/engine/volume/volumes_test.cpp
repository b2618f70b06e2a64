#include "engine/volume/volumes.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "base/file.hpp"

namespace lab::engine::volume {
namespace {

class VolumesTest : public testing::Test {
 protected:
  std::unique_ptr<DocumentStore> open_store() {
    return std::move(*DocumentStore::open(folder.path() / "state.db"));
  }
  TemporaryDirectory folder;
  SystemClock clock;
};

TEST_F(VolumesTest, AreThereAfterARestart) {
  {
    auto store = open_store();
    Volumes volumes(folder.path(), *store, clock);
    ASSERT_TRUE(volumes.load());
    ASSERT_TRUE(volumes.create("data", nullptr, nullptr));
    ASSERT_TRUE(volumes.create("", nullptr, nullptr));
  }
  auto store = open_store();
  Volumes volumes(folder.path(), *store, clock);
  ASSERT_TRUE(volumes.load());
  EXPECT_EQ(volumes.list().size(), 2U);
  ASSERT_NE(volumes.find("data"), nullptr);
  EXPECT_FALSE(volumes.find("data")->anonymous);
  ASSERT_TRUE(volumes.remove("data"));
  EXPECT_FALSE(std::filesystem::exists(folder.path() / "volumes/data"));
  EXPECT_EQ(volumes.remove("data").error().message, "get data: no such volume");
}

TEST_F(VolumesTest, ARemovalThatWasInterruptedIsFinishedAtTheNextStart) {
  auto store = open_store();
  Volumes(folder.path(), *store, clock).create("data", nullptr, nullptr).value();
  ASSERT_TRUE(store->put("volume", "data", R"({"removing": true})"));
  Volumes volumes(folder.path(), *store, clock);
  ASSERT_TRUE(volumes.load());
  EXPECT_EQ(volumes.find("data"), nullptr);
  EXPECT_FALSE(std::filesystem::exists(folder.path() / "volumes/data"));
  EXPECT_TRUE(store->all("volume")->empty());
}

TEST_F(VolumesTest, NamesCannotLeaveTheFolder) {
  auto store = open_store();
  Volumes volumes(folder.path(), *store, clock);
  ASSERT_TRUE(volumes.load());
  for (const char* name : {"../x", "a/b", ".x", "x"})
    EXPECT_FALSE(volumes.create(name, nullptr, nullptr)) << name;
}

TEST_F(VolumesTest, PopulateCopiesModesLinksAndFoldersIntoAnEmptyFolderOnly) {
  std::filesystem::path from = folder.path() / "from";
  std::filesystem::path to = folder.path() / "to";
  std::filesystem::create_directories(from / "deep/er");
  std::filesystem::create_directories(to);
  ASSERT_TRUE(write_file(from / "deep/file", "content", 0640));
  std::filesystem::create_symlink("file", from / "deep/link");
  ASSERT_TRUE(populate(from, to));
  EXPECT_EQ(*read_file(to / "deep/link"), "content");
  EXPECT_TRUE(std::filesystem::is_symlink(to / "deep/link"));
  EXPECT_TRUE(std::filesystem::is_directory(to / "deep/er"));
  struct stat info {};
  ASSERT_EQ(stat((to / "deep/file").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0640U);
  ASSERT_TRUE(write_file(from / "later", "x"));
  ASSERT_TRUE(populate(from, to));
  EXPECT_FALSE(std::filesystem::exists(to / "later"));
}

}  // namespace
}  // namespace lab::engine::volume
