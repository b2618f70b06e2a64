#include <gtest/gtest.h>

#include <fstream>

#include "base/file.hpp"
#include "engine/container/attach.hpp"
#include "engine/container/inspect.hpp"
#include "engine/container/logs.hpp"

namespace lab::engine::container {
namespace {

TEST(StreamFrame, HasTheStreamAndABigEndianLength) {
  std::string frame = stream_frame(standard_error, std::string(258, 'x'));
  EXPECT_EQ(frame.substr(0, 8), std::string("\x02\0\0\0\0\0\x01\x02", 8));
  EXPECT_EQ(frame.size(), 266U);
}

TEST(DetachKeys, TheDefaultIsControlPControlQ) {
  DetachKeys keys = *DetachKeys::parse("");
  bool detached = false;
  EXPECT_EQ(keys.filter("ab\x10", detached), "ab");
  EXPECT_FALSE(detached);
  EXPECT_EQ(keys.filter("\x11", detached), "");
  EXPECT_TRUE(detached);
}

TEST(DetachKeys, HeldBackKeysArePassedOnWhenTheSequenceBreaks) {
  DetachKeys keys = *DetachKeys::parse("ctrl-p,ctrl-q");
  bool detached = false;
  EXPECT_EQ(keys.filter("\x10", detached), "");
  EXPECT_EQ(keys.filter("x\x10", detached), "\x10x");
  EXPECT_EQ(keys.filter("\x10y", detached), "\x10\x10y");
  EXPECT_FALSE(detached);
}

TEST(DetachKeys, OwnSequencesAndBadOnes) {
  DetachKeys keys = *DetachKeys::parse("ctrl-@,d");
  bool detached = false;
  EXPECT_EQ(keys.filter(std::string_view("q\0d", 3), detached), "q");
  EXPECT_TRUE(detached);
  EXPECT_FALSE(DetachKeys::parse("ctrl-1"));
  EXPECT_FALSE(DetachKeys::parse("hello"));
}

TEST(LogLine, HasTimeStreamAndText) {
  auto entry = parse_log_line("2026-11-24T08:00:00.000000001+01:00 stderr P half");
  ASSERT_TRUE(entry);
  EXPECT_EQ(format_rfc3339(entry->time), "2026-11-24T07:00:00.000000001Z");
  EXPECT_EQ(entry->stream, standard_error);
  EXPECT_TRUE(entry->partial);
  EXPECT_EQ(entry->text, "half");
  EXPECT_FALSE(parse_log_line("nonsense"));
  EXPECT_FALSE(parse_log_line("2026-11-24T08:00:00.000000001+01:00 stdfoo F x"));
}

class LogFile : public testing::Test {
 protected:
  void write(std::string_view flag, std::string_view text) {
    std::ofstream(path, std::ios::app)
        << "2026-11-24T08:00:00.000000000+00:00 stdout " << flag << " " << text << "\n";
  }
  std::string rest(LogReader& reader) {
    std::string text;
    for (;;) {
      std::vector<LogEntry> entries = *reader.read();
      if (entries.empty()) return text;
      for (const LogEntry& entry : entries) text += entry.text;
    }
  }
  TemporaryDirectory folder;
  std::filesystem::path path = folder.path() / "log";
};

TEST_F(LogFile, IsReadFromTheTailAndFurtherAsItGrows) {
  for (int i = 1; i <= 5; ++i) write("F", fmt::format("line {}", i));
  LogReader reader = *LogReader::open(path);
  ASSERT_TRUE(reader.seek_tail(2));
  EXPECT_EQ(rest(reader), "line 4\nline 5\n");
  write("F", "line 6");
  EXPECT_EQ(rest(reader), "line 6\n");
}

TEST_F(LogFile, ALineInPiecesIsOneLineOfTheTail) {
  write("F", "first");
  write("P", "a");
  write("F", "b");
  LogReader all = *LogReader::open(path);
  EXPECT_EQ(rest(all), "first\nab\n");
  LogReader none = *LogReader::open(path);
  ASSERT_TRUE(none.seek_tail(0));
  EXPECT_EQ(rest(none), "");
  LogReader more = *LogReader::open(path);
  ASSERT_TRUE(more.seek_tail(100));
  EXPECT_EQ(rest(more), "first\nab\n");
}

TEST(HumanDuration, SpeaksAsDockerDoes) {
  using std::chrono::hours;
  using std::chrono::seconds;
  EXPECT_EQ(human_duration(seconds(0)), "Less than a second");
  EXPECT_EQ(human_duration(seconds(1)), "1 second");
  EXPECT_EQ(human_duration(seconds(59)), "59 seconds");
  EXPECT_EQ(human_duration(seconds(60)), "About a minute");
  EXPECT_EQ(human_duration(seconds(179)), "2 minutes");
  EXPECT_EQ(human_duration(hours(1)), "About an hour");
  EXPECT_EQ(human_duration(hours(47)), "47 hours");
  EXPECT_EQ(human_duration(hours(48)), "2 days");
  EXPECT_EQ(human_duration(hours(24 * 14)), "2 weeks");
  EXPECT_EQ(human_duration(hours(24 * 60)), "2 months");
  EXPECT_EQ(human_duration(hours(24 * 365 * 3)), "3 years");
}

}  // namespace
}  // namespace lab::engine::container
