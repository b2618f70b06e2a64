#include "scenarios/pattern.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace lab::scenarios {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

MatchResult match(const std::vector<std::string>& expected, std::string_view output,
                  const Captures& captures = {}, bool unordered = false) {
  Result<Pattern> pattern = Pattern::compile(expected, 1, captures);
  if (!pattern) {
    ADD_FAILURE() << pattern.error().message;
    return {};
  }
  return pattern->match(output, unordered);
}

bool matches(const std::vector<std::string>& expected, std::string_view output) {
  return match(expected, output).matched;
}

TEST(Pattern, EqualLinesMatch) {
  EXPECT_TRUE(matches({"one", "two"}, "one\ntwo\n"));
  EXPECT_TRUE(matches({"one", "two"}, "one\r\ntwo"));
  EXPECT_FALSE(matches({"one", "two"}, "one\nthree\n"));
  EXPECT_FALSE(matches({"one"}, "one\ntwo\n"));
  EXPECT_FALSE(matches({"one", "two"}, "one\n"));
}

TEST(Pattern, NoExpectedLineMeansNoOutput) {
  EXPECT_TRUE(matches({}, ""));
  EXPECT_TRUE(matches({}, "\n\n"));
  EXPECT_FALSE(matches({}, "x\n"));
}

TEST(Pattern, SpacesAtLineEndsAndEmptyLinesAtTheEndDoNotCount) {
  EXPECT_TRUE(matches({"one", "", "two  "}, "one   \n\ntwo\n\n\n"));
  EXPECT_FALSE(matches({"one", "two"}, "one\n\ntwo\n"));
}

TEST(Pattern, EllipsisAloneIsAnyNumberOfLines) {
  EXPECT_TRUE(matches({"..."}, ""));
  EXPECT_TRUE(matches({"..."}, "a\nb\nc\n"));
  EXPECT_TRUE(matches({"a", "...", "z"}, "a\nz\n"));
  EXPECT_TRUE(matches({"a", "...", "z"}, "a\nb\nz\nc\nz\n"));
  EXPECT_FALSE(matches({"a", "...", "z"}, "a\nb\n"));
  EXPECT_TRUE(matches({"...", "x", "...", "y", "..."}, "1\nx\n2\ny\n3\n"));
}

TEST(Pattern, EllipsisInALineIsAnyText) {
  EXPECT_TRUE(matches({"Server: ... (ok)"}, "Server: 1.2.3 (ok)\n"));
  EXPECT_TRUE(matches({"abc..."}, "abc\n"));
  EXPECT_FALSE(matches({"abc...x"}, "abc\n"));
}

TEST(Pattern, TheLiteralIsTriedFirst) {
  EXPECT_TRUE(matches({"what? (re)"}, "what? (re)\n"));
  EXPECT_TRUE(matches({"%{ID:x} is text"}, "%{ID:x} is text\n"));
  EXPECT_TRUE(matches({"waiting..."}, "waiting...\n"));
}

TEST(Pattern, CharactersOfRegularExpressionsAreTextOtherwise) {
  EXPECT_TRUE(matches({"a.b*c+(d)[e]{f}^$|\\?"}, "a.b*c+(d)[e]{f}^$|\\?\n"));
  EXPECT_FALSE(matches({"a.b ..."}, "axb c\n"));
  EXPECT_TRUE(matches({"a.b ... {{.ID}} äö"}, "a.b c {{.ID}} äö\n"));
}

TEST(Pattern, SuffixesChooseRegularExpressionsAndGlobs) {
  EXPECT_TRUE(matches({"v\\d+\\.\\d+ (re)"}, "v20.10\n"));
  EXPECT_FALSE(matches({"v\\d+ (re)"}, "v20.10\n"));
  EXPECT_TRUE(matches({"v?.* (glob)"}, "v2.10\n"));
  EXPECT_FALSE(matches({"v?.* (glob)"}, "v20.10\n"));
}

TEST(Pattern, ColumnsOfTablesMatchWhateverTheirWidth) {
  EXPECT_TRUE(matches({"ID      IMAGE   NAMES", "1  a b  c"},
                      "ID  IMAGE        NAMES\n1       a b          c   \n"));
  EXPECT_FALSE(matches({"ID  IMAGE"}, "ID IMAGE\n"));
  EXPECT_FALSE(matches({"  indented"}, "    indented\n"));
}

TEST(Pattern, CapturesNamedPatterns) {
  MatchResult result = match({"id %{ID:node} at %{IP:where}", "%{SIZE} %{DURATION} ago"},
                             "id s9klmcfzhn0j0qww2qjv2hkrs at 192.168.50.4\n1.85kB 2 days ago\n");
  ASSERT_TRUE(result.matched);
  EXPECT_EQ(result.captures["node"], "s9klmcfzhn0j0qww2qjv2hkrs");
  EXPECT_EQ(result.captures["where"], "192.168.50.4");
  EXPECT_EQ(result.captures.size(), 2U);
}

TEST(Pattern, CapturesOwnExpressionsWithBracesAndColons) {
  MatchResult result = match({"%{[a-f]{3}:[0-9]{2}:key} %{(?:x|y)}"}, "abc:12 y\n");
  ASSERT_TRUE(result.matched);
  EXPECT_EQ(result.captures["key"], "abc:12");
}

TEST(Pattern, NamedPatternsMatchWhatDockerPrints) {
  const std::vector<std::pair<std::string, std::vector<std::string>>> cases = {
      {"%{SIZE}", {"0B", "113MB", "1.85kB", "2.5GiB", "12 MB"}},
      {"%{DURATION}",
       {"Less than a second", "About a minute", "About an hour", "3 weeks", "1.5s", "10ms", "1m30s",
        "2 days"}},
      {"%{IP}", {"10.0.0.1", "fe80::1", "::1"}},
      {"%{ID}", {"d042ed58ef63", "s9klmcfzhn0j0qww2qjv2hkrs"}},
      {"%{DIGEST}", {"sha256:" + std::string(64, 'a')}},
      {"%{TOKEN}", {"SWMTKN-1-" + std::string(50, '0') + "-" + std::string(25, 'z')}},
      {"%{NUMBER}", {"7", "1.5"}},
      {"%{NAME}", {"relaxed_galileo", "vm1", "a.b-c"}},
  };
  for (const auto& [pattern, texts] : cases) {
    for (const std::string& text : texts) EXPECT_TRUE(matches({pattern}, text)) << pattern << text;
  }
  EXPECT_FALSE(matches({"%{ID}"}, "short\n"));
  EXPECT_FALSE(matches({"%{SIZE}"}, "113 apples\n"));
  EXPECT_FALSE(matches({"%{TOKEN}"}, "SWMTKN-1-abc-def\n"));
}

TEST(Pattern, EarlierCapturesStandForTheirValue) {
  const Captures captures = {{"id", "a.c"}};
  EXPECT_TRUE(match({"<${id}>"}, "<a.c>\n", captures).matched);
  EXPECT_FALSE(match({"<${id}>"}, "<abc>\n", captures).matched);
  EXPECT_TRUE(match({"${other} ..."}, "${other} x\n", captures).matched);
}

TEST(Pattern, UnorderedLinesMatchInAnyOrder) {
  const std::string output = "b 1\na 2\nc 3\n";
  EXPECT_TRUE(match({"a ...", "b ...", "c ..."}, output, {}, true).matched);
  EXPECT_FALSE(match({"a ...", "b ..."}, output, {}, true).matched);
  EXPECT_TRUE(match({"a ...", "...", "b ..."}, output, {}, true).matched);
  EXPECT_FALSE(match({"a ...", "d ...", "..."}, output, {}, true).matched);
  // The wide pattern must leave the line that only the narrow one... can take.
  EXPECT_TRUE(match({"... %{NUMBER:n}", "b 1", "c 3"}, output, {}, true).matched);
}

TEST(Pattern, DiffShowsMissingAndUnexpectedLines) {
  MatchResult result = match({"one", "two", "...", "end"}, "one\n2\nx\ny\nend\n");
  EXPECT_FALSE(result.matched);
  EXPECT_THAT(result.diff, ElementsAre("  one", "- two", ". 2", ". x", ". y", "  ...", "  end"));
  MatchResult extra = match({"one"}, "one\nmore\n");
  EXPECT_THAT(extra.diff, ElementsAre("  one", "+ more"));
  EXPECT_THAT(match({"a"}, "", {}, true).diff, ElementsAre("- a"));
}

TEST(Pattern, RefusesWhatIsNoRegularExpression) {
  Result<Pattern> pattern = Pattern::compile({"fine", "(((( (re)"}, 41, {});
  ASSERT_FALSE(pattern);
  EXPECT_THAT(pattern.error().message, HasSubstr("42: "));
  EXPECT_FALSE(Pattern::compile({"%{[:x}"}, 1, {}));
}

TEST(Pattern, RefusesANameCapturedTwice) {
  Result<Pattern> pattern = Pattern::compile({"%{ID:x}", "%{ID:x}"}, 1, {});
  ASSERT_FALSE(pattern);
  EXPECT_THAT(pattern.error().message, HasSubstr("2: the name x is captured twice"));
}

TEST(Pattern, ExpressionsThatRunAwayDoNotMatch) {
  EXPECT_FALSE(matches({"(a*)*(a*)*(a*)*b (re)"}, std::string(300, 'a')));
}

TEST(Pattern, LongOutputsAreComparedInBoundedTime) {
  std::string output;
  for (int i = 0; i < 20000; ++i) output += fmt::format("line {}\n", i);
  EXPECT_TRUE(matches({"line 0", "...", "line 19999"}, output));
  EXPECT_FALSE(match({"...", "nothing", "..."}, output).diff.empty());
}

TEST(Pattern, UnbalancedBracesAreText) {
  EXPECT_TRUE(matches({"100%{", "${", "%{}", "%", "$"}, "100%{\n${\n%{}\n%\n$\n"));
}

TEST(Pattern, ColoursAndMovementsOfTheCursorDoNotCount) {
  EXPECT_TRUE(matches({"app_1  | listening"}, "\x1b[36mapp_1  |\x1b[0m listening\x1b[0K\r\n"));
  EXPECT_TRUE(matches({"cut"}, "cut\x1b[\n"));
  EXPECT_TRUE(matches({"a"}, "a\x1b[3\n"));
}

TEST(Substitute, ReplacesCapturedNamesOnly) {
  const Captures captures = {{"token", "SWMTKN"}, {"x", "${token}"}};
  EXPECT_EQ(substitute("join ${token} ${HOME} $token ${x}", captures),
            "join SWMTKN ${HOME} $token ${token}");
  EXPECT_EQ(substitute("$ ${ ${token", captures), "$ ${ ${token");
}

}  // namespace
}  // namespace lab::scenarios
