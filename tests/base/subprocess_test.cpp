#include "base/subprocess.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <thread>

namespace lab {
namespace {

Command command_of(std::vector<std::string> argv) {
  Command command;
  command.argv = std::move(argv);
  return command;
}

TEST(Subprocess, GivesOutputErrorsAndStatus) {
  auto result = run_command(command_of({"sh", "-c", "echo out; echo err >&2; exit 3"}));
  ASSERT_TRUE(result);
  EXPECT_EQ(result->exit_status, 3);
  EXPECT_EQ(result->output, "out\n");
  EXPECT_EQ(result->errors, "err\n");
}

TEST(Subprocess, FeedsInputLargerThanAPipe) {
  Command command = command_of({"wc", "-c"});
  command.input.assign(1'000'000, 'x');
  EXPECT_EQ(run_checked(command).value(), "1000000\n");
}

TEST(Subprocess, EndsAtItsDeadlineWithTheLastOutput) {
  Command command = command_of({"sh", "-c", "echo working; sleep 60"});
  command.timeout = std::chrono::milliseconds(200);
  auto result = run_command(command);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, Code::deadline_exceeded);
  EXPECT_NE(result.error().message.find("working"), std::string::npos);
}

// The grandchild takes longer to clean up than its parent takes to end.
TEST(Subprocess, StopsWithTheWholeGroupWhenAskedTo) {
  TemporaryDirectory folder;
  const std::string cleaned = (folder.path() / "cleaned").string();
  Command command =
      command_of({"sh", "-c",
                  "(trap 'sleep 0.2; echo yes > \"$0\"; exit' TERM; echo ready > \"$0.ready\"; "
                  "while :; do sleep 0.02; done) & wait",
                  cleaned});
  std::stop_source stop;
  command.stop = stop.get_token();
  std::jthread asker([&] {
    while (!std::filesystem::exists(cleaned + ".ready")) std::this_thread::yield();
    stop.request_stop();
  });
  const auto result = run_command(command);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, Code::cancelled);
  EXPECT_TRUE(std::filesystem::exists(cleaned));
}

TEST(Subprocess, SaysThatAProgramIsMissing) {
  auto result = run_command(command_of({"no-such-program"}));
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, Code::not_found);
}

TEST(Subprocess, CheckedErrorHasCommandStatusAndLastLines) {
  auto result = run_checked(
      command_of({"sh", "-c", "for i in 1 2 3 4 5 6 7; do echo line $i; done; exit 9"}));
  ASSERT_FALSE(result);
  EXPECT_NE(result.error().message.find("status 9"), std::string::npos);
  EXPECT_NE(result.error().message.find("line 7"), std::string::npos);
  EXPECT_EQ(result.error().message.find("line 2"), std::string::npos);
}

TEST(Subprocess, QuotesWordsForAShell) {
  EXPECT_EQ(shell_quote({"a", "b c", "it's", ""}), "a 'b c' 'it'\\''s' ''");
}

}  // namespace
}  // namespace lab
