#include "engine/build/dockerfile.hpp"

#include <gtest/gtest.h>

#include "base/random.hpp"
#include "engine/build/expand.hpp"

namespace lab::engine::build {
namespace {

std::string error_of(std::string_view text) {
  Result<Dockerfile> file = parse_dockerfile(text);
  return file ? "no error" : file.error().message;
}

using Words = std::vector<std::string>;

TEST(Dockerfile, StagesGlobalArgumentsAndFlags) {
  auto file = parse_dockerfile(
      "ARG base=node\n"
      "FROM --platform=linux/amd64 $base AS Builder\n"
      "COPY --from=builder --chown=1:2 a b /c/\n"
      "FROM scratch\n");
  ASSERT_TRUE(file) << file.error().message;
  ASSERT_EQ(file->stages.size(), 2U);
  EXPECT_EQ(file->global_arguments.front().arguments, Words{"base=node"});
  EXPECT_EQ(file->stages[0].base, "$base");
  EXPECT_EQ(file->stages[0].name, "builder");
  EXPECT_EQ(file->stages[0].platform, "linux/amd64");
  const Instruction& copy = file->stages[0].instructions.front();
  EXPECT_EQ(copy.flags.at("from"), "builder");
  EXPECT_EQ(copy.flags.at("chown"), "1:2");
  EXPECT_EQ(copy.arguments, (Words{"a", "b", "/c/"}));
}

TEST(Dockerfile, ContinuationsCommentsAndEmptyLinesInside) {
  auto file = parse_dockerfile(
      "FROM x\n"
      "RUN apt-get update && \\\n"
      "    # a comment\n"
      "\n"
      "    apt-get install -y fortune\n");
  ASSERT_TRUE(file);
  EXPECT_EQ(file->stages[0].instructions[0].arguments,
            Words{"apt-get update &&     apt-get install -y fortune"});
  EXPECT_EQ(file->warnings.size(), 2U);
}

TEST(Dockerfile, JsonAndShellForms) {
  auto file = parse_dockerfile("FROM x\nCMD [\"a\", \"b c\"]\nENTRYPOINT [not json\nRUN [\"x\"]\n");
  ASSERT_TRUE(file);
  const auto& all = file->stages[0].instructions;
  EXPECT_TRUE(all[0].json);
  EXPECT_EQ(all[0].arguments, (Words{"a", "b c"}));
  EXPECT_FALSE(all[1].json);
  EXPECT_EQ(all[1].arguments, Words{"[not json"});
  EXPECT_TRUE(all[2].json);
}

TEST(Dockerfile, EnvInBothForms) {
  auto file = parse_dockerfile("FROM x\nENV a b c\nENV a=1 b=\"2 3\" c=4\\ 5\n");
  ASSERT_TRUE(file);
  EXPECT_EQ(file->stages[0].instructions[0].arguments, (Words{"a", "b c"}));
  EXPECT_EQ(file->stages[0].instructions[1].arguments,
            (Words{"a", "1", "b", "\"2 3\"", "c", "4\\ 5"}));
}

TEST(Dockerfile, EscapeDirectiveChangesContinuations) {
  auto file = parse_dockerfile("# escape=`\nFROM x\nRUN a `\nb\nCOPY c:\\ d\n");
  ASSERT_TRUE(file);
  EXPECT_EQ(file->escape, '`');
  EXPECT_EQ(file->stages[0].instructions[0].arguments, Words{"a b"});
  EXPECT_EQ(file->stages[0].instructions[1].arguments, (Words{"c:\\", "d"}));
}

TEST(Dockerfile, HealthCheckAndOnBuild) {
  auto file = parse_dockerfile(
      "FROM x\nHEALTHCHECK --interval=5s CMD curl localhost\nHEALTHCHECK none\nONBUILD RUN a b\n");
  ASSERT_TRUE(file) << file.error().message;
  const auto& all = file->stages[0].instructions;
  EXPECT_EQ(all[0].flags.at("interval"), "5s");
  EXPECT_EQ(all[0].arguments, (Words{"CMD", "curl localhost"}));
  EXPECT_EQ(all[1].arguments, Words{"NONE"});
  EXPECT_EQ(all[2].arguments, Words{"RUN a b"});
}

TEST(Dockerfile, ErrorsAreDockers) {
  EXPECT_EQ(error_of(""), "failed to parse Dockerfile: file with no instructions");
  EXPECT_EQ(error_of("FROM x\nRUM y"), "dockerfile parse error line 2: unknown instruction: RUM");
  EXPECT_EQ(error_of("RUN x"), "no build stage in current context");
  EXPECT_EQ(error_of("FROM a b"),
            "dockerfile parse error line 1: FROM requires either one or three arguments");
  EXPECT_EQ(error_of("FROM x\nCOPY --bad=1 a b"),
            "dockerfile parse error line 2: Unknown flag: bad");
  EXPECT_EQ(error_of("FROM x\nENV a"), "failed to parse Dockerfile: ENV must have two arguments");
  EXPECT_EQ(error_of("FROM x\nCMD [1]"),
            "dockerfile parse error line 2: when using JSON array syntax, arrays must be comprised "
            "of strings only");
  EXPECT_EQ(error_of("FROM x AS 1"),
            "dockerfile parse error line 1: invalid name for build stage: \"1\", name can't start "
            "with a number or "
            "contain symbols");
}

TEST(Dockerfile, MutatedTextNeverCrashes) {
  const std::string good =
      "# escape=\\\nARG v=1\nFROM debian:${v:-x} AS a\nENV a=\"b c\" d='e'\nCOPY --from=a [\"x\", "
      "\"y\"]\n"
      "HEALTHCHECK CMD [\"a\"]\nONBUILD ADD . /x\nRUN a && \\\n b\n";
  Random random(7);
  for (int round = 0; round < 20'000; ++round) {
    std::string text = good;
    for (std::uint64_t change = random.below(5) + 1; change > 0; --change) {
      std::size_t at = random.below(text.size());
      if (random.chance(0.5)) {
        text.erase(at, random.below(8) + 1);
      } else {
        text[at] = static_cast<char>(random.below(256));
      }
      if (text.empty()) break;
    }
    auto file = parse_dockerfile(text);
    if (!file) continue;
    for (const Stage& stage : file->stages) {
      for (const Instruction& it : stage.instructions) {
        for (const std::string& word : it.arguments)
          (void)expand_words(word, {{"v", "1"}}, file->escape);
      }
    }
  }
}

TEST(Expand, VariablesDefaultsAndQuotes) {
  const Variables variables = {{"a", "1"}, {"empty", ""}, {"two", "x y"}};
  auto expanded = [&](std::string_view word) {
    auto result = expand_word(word, variables, '\\');
    return result ? *result : "error: " + result.error().message;
  };
  EXPECT_EQ(expanded("$a-${a}b$c|"), "1-1b|");
  EXPECT_EQ(expanded("${c:-d}${empty:-d}${empty-d}${a:+set}${c:+set}"), "ddset");
  EXPECT_EQ(expanded("${c:-${a}}"), "1");
  EXPECT_EQ(expanded("'$a' \"$a\" \\$a"), "$a 1 $a");
  EXPECT_EQ(expanded("\"a\\\"b\\c\""), "a\"b\\c");
  EXPECT_EQ(expanded("${c:?is needed}"),
            "error: failed to process \"${c:?is needed}\": c: is needed");
  EXPECT_EQ(expanded("${a"), "error: failed to process \"${a\": syntax error: missing '}'");
  EXPECT_EQ(expanded("cost: 5$"), "cost: 5$");
}

TEST(Expand, WordsSplitAtUnprotectedBlanksOnly) {
  const Variables variables = {{"two", "x y"}};
  EXPECT_EQ(expand_words("$two \"$two\" 'a b' c\\ d", variables, '\\').value(),
            (Words{"x", "y", "x y", "a b", "c d"}));
}

}  // namespace
}  // namespace lab::engine::build
