#include "vm/template_files.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>

#include "base/file.hpp"

namespace lab::vm {
namespace {

namespace fs = std::filesystem;

class Template : public testing::Test {
 protected:
  Template() {
    EXPECT_TRUE(make_directories(template_.path()));
    EXPECT_TRUE(write_file(template_.disk(), "disk"));
    EXPECT_TRUE(write_file(template_.devices(), "devices"));
    std::string memory(std::size_t{4} << 20, '\0');
    memory.replace(1 << 20, 7, "kernel!");
    memory.replace(memory.size() - 5, 5, "user!");
    EXPECT_TRUE(write_file(template_.memory(), memory));
  }

  // A byte changes, and everything that `ls` tells is as before.
  static void damage_unseen(const fs::path& file, std::streamoff at) {
    const auto time = fs::last_write_time(file);
    fs::permissions(file, fs::perms::owner_write, fs::perm_options::add);
    std::fstream(file, std::ios::in | std::ios::out | std::ios::binary).seekp(at).put('~');
    fs::last_write_time(file, time);
  }

  TemporaryDirectory root_;
  TemplateFolder template_{root_.path() / "key"};
};

TEST_F(Template, IsGoodAsItWasSealedAndItsZerosAreHoles) {
  EXPECT_EQ(template_.check().error().code, Code::not_found);
  const std::string memory = *read_file(template_.memory());
  ASSERT_TRUE(template_.seal());
  EXPECT_TRUE(template_.check());
  EXPECT_EQ(*read_file(template_.memory()), memory);
  struct stat info {};
  ASSERT_EQ(stat(template_.memory().c_str(), &info), 0);
  EXPECT_LT(info.st_blocks * 512, 1 << 20);
}

TEST_F(Template, FileThatLooksChangedIsCompared) {
  ASSERT_TRUE(template_.seal());
  fs::last_write_time(template_.memory(), fs::file_time_type::clock::now());
  EXPECT_TRUE(template_.check());
  for (const fs::path& file : {template_.memory(), template_.disk(), template_.devices()}) {
    const std::string before = *read_file(file);
    ASSERT_TRUE(write_file(file, before.substr(0, before.size() - 1) + "~"));
    EXPECT_FALSE(template_.check()) << file;
    ASSERT_TRUE(write_file(file, before));
    EXPECT_TRUE(template_.check()) << file;
  }
}

TEST_F(Template, AfterABootOfTheHostAllIsCompared) {
  ASSERT_TRUE(template_.seal());
  damage_unseen(template_.memory(), 3 << 20);
  EXPECT_TRUE(template_.check());  // as documented
  ASSERT_TRUE(write_file(template_.path() / "compared", "another boot\n"));
  const auto checked = template_.check();
  ASSERT_FALSE(checked);
  EXPECT_EQ(checked.error().code, Code::internal);
  EXPECT_NE(checked.error().message.find(template_.path()), std::string::npos);
}

TEST_F(Template, WithAFileMissingIsNoTemplate) {
  for (const char* name : {"disk.qcow2", "memory", "devices"}) {
    ASSERT_TRUE(template_.seal());
    const std::string content = *read_file(template_.path() / name);
    fs::remove(template_.path() / name);
    EXPECT_FALSE(template_.check()) << name;
    ASSERT_TRUE(write_file(template_.path() / name, content));
  }
}

TEST_F(Template, OnlyTheLastUsedAreKept) {
  for (const char* name : {"a", "b", "c"}) {
    const TemplateFolder folder(root_.path() / name);
    ASSERT_TRUE(make_directories(folder.path()));
    folder.mark_used();
  }
  using std::chrono::hours;
  const auto now = fs::file_time_type::clock::now();
  fs::last_write_time(root_.path() / "a/used", now - hours(1));
  fs::last_write_time(root_.path() / "b/used", now - hours(3));
  fs::last_write_time(root_.path() / "c/used", now - hours(2));
  remove_unused_templates(root_.path(), 2);
  EXPECT_TRUE(fs::exists(root_.path() / "a"));
  EXPECT_FALSE(fs::exists(root_.path() / "b"));
  EXPECT_TRUE(fs::exists(root_.path() / "c"));
  EXPECT_TRUE(fs::exists(root_.path() / "key"));  // never used: being made
}

}  // namespace
}  // namespace lab::vm
