#include "scenarios/runner.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>

#include "base/file.hpp"
#include "scenarios/report.hpp"

namespace lab::scenarios {
namespace {

using std::chrono::milliseconds;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;

// Every machine is a bash on this host.
class LocalMachines final : public Machines {
 public:
  Result<std::unique_ptr<Shell>> open(const std::string& machine, const std::string&) override {
    opened.push_back(machine);
    if (machine == "gone") return make_error(Code::unavailable, "machine gone is not there");
    LAB_TRY(std::unique_ptr<Channel> channel,
            spawn_channel({"sh", "-c", "cd && exec bash --norc --noprofile"}));
    return make_shell(std::move(channel), clock_, milliseconds(10'000));
  }
  std::vector<std::string> opened;

 private:
  SystemClock clock_;
};

class SilentObserver final : public Observer {
 public:
  void document_started(const Document&) override {}
  void step_started(const Document&, const StepResult&) override {}
  void step_finished(const Document&, const StepResult&) override {}
  void document_finished(const DocumentResult&) override {}
};

class RunnerTest : public testing::Test {
 protected:
  DocumentResult run(const std::string& text) {
    Result<Document> document = parse_document("doc.md", text);
    if (!document) {
      ADD_FAILURE() << document.error().message;
      return {};
    }
    Runner runner(
        machines_, clock_, [](milliseconds time) { poll(nullptr, 0, int(time.count())); },
        observer_);
    return runner.run(*document);
  }

  // The only failure of the run.
  StepResult failure(const std::string& text) {
    DocumentResult result = run(text);
    EXPECT_EQ(result.count(Outcome::failed), 1U);
    for (StepResult& step : result.steps) {
      if (step.outcome == Outcome::failed) return std::move(step);
    }
    return {};
  }

  LocalMachines machines_;
  SystemClock clock_;
  SilentObserver observer_;
  TemporaryDirectory folder_;
};

TEST_F(RunnerTest, RunsWhatTheDocumentShows) {
  DocumentResult result =
      run("```console\n$ echo hello\nhello\n$ exit_with() { return $1; }\n"
          "$ exit_with 3\n[3]\n$ printf 'no newline'\nno newline\n```\n");
  EXPECT_TRUE(result.passed());
  EXPECT_EQ(result.count(Outcome::passed), 4U);
}

TEST_F(RunnerTest, FolderAndEnvironmentPersistPerMachine) {
  DocumentResult result = run(R"(```console
user@vm1:~$ cd /usr
user@vm1:/usr$ export WHO=vm1
user@vm2:~$ echo "$WHO" | wc -c
1
user@vm1:/usr$ echo $WHO in $PWD
vm1 in /usr
```
)");
  EXPECT_TRUE(result.passed());
  EXPECT_THAT(machines_.opened, ElementsAre("vm1", "vm2"));
}

TEST_F(RunnerTest, APromptWithAnotherFolderFails) {
  EXPECT_THAT(failure("```console\nuser@vm1:/usr$ true\n```\n").problem,
              HasSubstr("the prompt shows the folder /usr, but the shell is in "));
}

TEST_F(RunnerTest, LanguageZoneAndWidthAreFixed) {
  EXPECT_TRUE(run("```console\n$ echo $LANG $TZ $COLUMNS\nC.UTF-8 UTC 100\n$ tty\nnot a tty\n[1]\n"
                  "$ cat\n```\n")
                  .passed());
}

TEST_F(RunnerTest, CapturesAreUsedByLaterCommands) {
  DocumentResult result =
      run("```console\n$ echo id-42\nid-%{\\d+:number}\n"
          "$ echo ${number}${number} ${HOME:-x}\n${number}42 ...\n```\n");
  EXPECT_TRUE(result.passed());
  EXPECT_EQ(result.steps[1].command, "echo 4242 ${HOME:-x}");
}

TEST_F(RunnerTest, AFailureTellsTheDifferenceAndStopsTheDocument) {
  DocumentResult result = run("```console\n$ printf 'a\\nb\\n'\na\nc\n$ echo never\nnever\n```\n");
  ASSERT_EQ(result.steps.size(), 2U);
  EXPECT_EQ(result.steps[0].outcome, Outcome::failed);
  EXPECT_EQ(result.steps[0].line, 2);
  EXPECT_THAT(result.steps[0].diff, ElementsAre("  a", "- c", "+ b"));
  EXPECT_EQ(result.steps[1].outcome, Outcome::skipped);
}

TEST_F(RunnerTest, AnUnexpectedStatusFails) {
  StepResult step = failure("```console\n$ sh -c 'echo why; exit 4'\nwhy\n```\n");
  EXPECT_EQ(step.problem, "exit status 4");
  EXPECT_THAT(step.diff, ElementsAre("  why"));
  EXPECT_EQ(failure("```console\n$ true\n[1]\n```\n").problem, "exit status 0 instead of 1");
}

TEST_F(RunnerTest, ACommandThatHangsIsKilledAtItsTimeout) {
  const TimePoint start = clock_.now();
  StepResult step = failure("```console timeout=300ms\n$ echo partly; sleep 60\n```\n");
  EXPECT_LT(clock_.now() - start, std::chrono::seconds(10));
  EXPECT_THAT(step.problem, HasSubstr("did not end within 0.3 s"));
  EXPECT_THAT(step.problem, HasSubstr("partly"));
}

TEST_F(RunnerTest, ACommandThatEndsTheShellFails) {
  EXPECT_THAT(failure("```console\n$ echo bye; exit 7\n```\n").problem,
              HasSubstr("ended the shell; it printed last:\nbye"));
}

TEST_F(RunnerTest, EventuallyTriesUntilItMatches) {
  const std::string file = (folder_.path() / "count").string();
  DocumentResult result =
      run("```console eventually=20s\n$ echo x >> " + file + "; wc -l < " + file + "\n3\n```\n");
  EXPECT_TRUE(result.passed());
  EXPECT_EQ(result.steps[0].attempts, 3);
}

TEST_F(RunnerTest, EventuallyGivesUpAtItsDeadline) {
  StepResult step = failure("```console eventually=700ms\n$ echo no\nyes\n```\n");
  EXPECT_THAT(step.problem, HasSubstr("tried"));
  EXPECT_THAT(step.diff, ElementsAre("- yes", "+ no"));
  EXPECT_GT(step.attempts, 1);
}

TEST_F(RunnerTest, SetupComparesTheStatusOnly) {
  EXPECT_TRUE(run("<!-- setup\n$ echo anything\n-->\n").passed());
  EXPECT_FALSE(run("<!-- setup\n$ false\n-->\n").passed());
  EXPECT_FALSE(run("<!-- check\n$ echo anything\n-->\n").passed());
}

TEST_F(RunnerTest, CleanupRunsAfterAFailureToo) {
  const std::string file = (folder_.path() / "cleaned").string();
  DocumentResult result =
      run("<!-- cleanup\n$ false\n$ touch " + file + "\n-->\n```console\n$ false\n$ true\n```\n");
  EXPECT_TRUE(std::filesystem::exists(file));
  EXPECT_EQ(result.count(Outcome::failed), 2U);
  EXPECT_EQ(result.count(Outcome::skipped), 1U);
}

TEST_F(RunnerTest, SkippedBlocksAreNotRun) {
  DocumentResult result = run("```console skip\n$ false\n```\n");
  EXPECT_TRUE(result.passed());
  EXPECT_EQ(result.count(Outcome::skipped), 1U);
}

TEST_F(RunnerTest, AMachineThatIsNotThereFails) {
  EXPECT_EQ(failure("```console\nroot@gone:~# true\n```\n").problem, "machine gone is not there");
}

TEST_F(RunnerTest, AnyTextOfACommandReachesTheShellUnchanged) {
  DocumentResult result = run(R"(```console
$ echo "it's" 'a "quote"' \$HOME `echo sub`; echo 'two
> lines'
it's a "quote" $HOME sub
two
lines
$ cat <<'EOF'
> $x 'y' "z"
> EOF
$x 'y' "z"
$ echo 'unbalanced
...
[2]
$ echo still here
still here
```
)");
  for (const StepResult& step : result.steps) EXPECT_EQ(step.problem, "") << step.command;
}

TEST_F(RunnerTest, LargeOutputComesThrough) {
  EXPECT_TRUE(run("```console\n$ seq 100000\n1\n...\n100000\n```\n").passed());
}

TEST(Report, JUnitIsWellFormedWhateverTheOutput) {
  DocumentResult result;
  result.path = "a&b.md";
  StepResult failed;
  failed.outcome = Outcome::failed;
  failed.line = 3;
  failed.command = "echo \"<\x01>\"";
  failed.problem = "a < b";
  StepResult skipped;
  skipped.outcome = Outcome::skipped;
  result.steps = {StepResult{}, failed, skipped};
  const std::string xml = junit_xml({result});
  EXPECT_THAT(xml, HasSubstr("tests=\"3\" failures=\"1\" skipped=\"1\""));
  EXPECT_THAT(xml, HasSubstr("a&amp;b.md"));
  EXPECT_THAT(xml, HasSubstr("&lt;?&gt;"));
  EXPECT_THAT(xml, HasSubstr("<skipped/>"));
  EXPECT_EQ(xml.find('\x01'), std::string::npos);
}

TEST(Report, AFailureShowsWhereWhatAndHowLong) {
  char* text = nullptr;
  std::size_t size = 0;
  std::FILE* stream = open_memstream(&text, &size);
  ConsoleReport report(stream, false);
  Document document;
  document.path = "doc.md";
  StepResult step;
  step.outcome = Outcome::failed;
  step.line = 12;
  step.machine = "vm1";
  step.prompt = "root@vm1:~#";
  step.command = "docker ps";
  step.problem = "the output is another one";
  step.diff = {"- a", "+ b"};
  step.elapsed = milliseconds(1500);
  report.step_finished(document, step);
  std::fclose(stream);
  const std::string shown(text, size);
  std::free(text);
  for (const char* part : {"doc.md:12: on vm1: the output is another one", "root@vm1:~# docker ps",
                           "- a", "+ b", "1.50 s"}) {
    EXPECT_THAT(shown, HasSubstr(part));
  }
}

}  // namespace
}  // namespace lab::scenarios
