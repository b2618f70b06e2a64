#include "engine/container/log_rotation.hpp"

#include <gtest/gtest.h>

#include <boost/json/parse.hpp>

#include "base/file.hpp"
#include "engine/container/logs.hpp"

namespace lab::engine::container {
namespace {

boost::json::object parse(const char* text) { return boost::json::parse(text).as_object(); }

class RotatedLog : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = testing::TempDir() + "log-rotation";
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
    log_ = folder_ / "x-json.log";
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  void write(int first, int last) {
    std::string text;
    for (int i = first; i <= last; ++i)
      text += fmt::format("2026-11-24T07:08:03.123456789+00:00 stdout F {}\n", i);
    ASSERT_TRUE(write_file(log_, text, 0600));
  }

  static std::string text_of(LogReader& reader) {
    std::string text;
    for (;;) {
      auto entries = reader.read();
      EXPECT_TRUE(entries);
      if (!entries || entries->empty()) return text;
      for (const LogEntry& entry : *entries) text += entry.text;
    }
  }

  std::filesystem::path folder_;
  std::filesystem::path log_;
};

TEST_F(RotatedLog, IsReadFromTheOldestFileOn) {
  write(1, 2);
  ASSERT_TRUE(rotate_log(log_, 3));
  write(3, 3);
  ASSERT_TRUE(rotate_log(log_, 3));
  write(4, 5);
  auto reader = LogReader::open(log_);
  ASSERT_TRUE(reader);
  EXPECT_EQ(text_of(*reader), "1\n2\n3\n4\n5\n");
}

TEST_F(RotatedLog, ItsTailReachesIntoOlderFiles) {
  write(1, 2);
  ASSERT_TRUE(rotate_log(log_, 3));
  write(3, 4);
  for (const auto& [lines, text] :
       {std::pair{0, ""}, std::pair{2, "3\n4\n"}, std::pair{3, "2\n3\n4\n"},
        std::pair{4, "1\n2\n3\n4\n"}, std::pair{9, "1\n2\n3\n4\n"}}) {
    auto reader = LogReader::open(log_);
    ASSERT_TRUE(reader && reader->seek_tail(static_cast<std::uint64_t>(lines)));
    EXPECT_EQ(text_of(*reader), text) << lines;
  }
}

TEST_F(RotatedLog, AReaderGoesOnInTheNextFile) {
  write(1, 1);
  auto reader = LogReader::open(log_);
  EXPECT_EQ(text_of(*reader), "1\n");
  ASSERT_TRUE(rotate_log(log_, 2));
  EXPECT_EQ(text_of(*reader), "");
  write(2, 2);
  EXPECT_EQ(text_of(*reader), "2\n");
}

TEST_F(RotatedLog, KeepsNoMoreThanItsFiles) {
  for (int i = 1; i <= 4; ++i) {
    write(i, i);
    ASSERT_TRUE(rotate_log(log_, 3));
  }
  EXPECT_FALSE(std::filesystem::exists(rotated_log(log_, 3)));
  auto reader = LogReader::open(log_);
  // The newest file is not there yet: what was rotated is read all the same.
  EXPECT_EQ(text_of(*reader), "3\n4\n");
}

TEST(LogLimits, SizesAreDecimalAndChecked) {
  EXPECT_EQ(parse_log_limits(parse(R"({"max-size": "10k"})"))->size_bytes_max, 10'000U);
  EXPECT_EQ(parse_log_limits(parse(R"({"max-size": "1.5MB"})"))->size_bytes_max, 1'500'000U);
  EXPECT_EQ(parse_log_limits(parse(R"({"max-file": "4"})"))->files_max, 4);
  EXPECT_TRUE(parse_log_limits(parse(R"({"max-size": "many"})")).has_error());
  EXPECT_TRUE(parse_log_limits(parse(R"({"max-file": "0"})")).has_error());
  EXPECT_TRUE(parse_log_limits(parse(R"({"max": "1"})")).has_error());
}

}  // namespace
}  // namespace lab::engine::container
