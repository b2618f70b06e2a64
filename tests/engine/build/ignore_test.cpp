#include "engine/build/ignore.hpp"

#include <gtest/gtest.h>

namespace lab::engine::build {
namespace {

bool excludes(std::string_view patterns, std::string_view path) {
  auto ignore = IgnorePatterns::parse(patterns);
  EXPECT_TRUE(ignore) << ignore.error().message;
  return ignore && ignore->excludes(path);
}

TEST(IgnorePatterns, TheLastPatternThatMatchesCounts) {
  EXPECT_TRUE(excludes("*.md\n!README.md\nREADME-secret.md", "README-secret.md"));
  EXPECT_FALSE(excludes("*.md\n!README*.md", "README-secret.md"));
  EXPECT_TRUE(excludes("*\n!src", "docs/a"));
  EXPECT_FALSE(excludes("*\n!src", "src/main.c"));
}

TEST(IgnorePatterns, FoldersExcludeWhatIsInThem) {
  EXPECT_TRUE(excludes("node_modules", "node_modules/a/b"));
  EXPECT_FALSE(excludes("node_modules", "src/node_modules/a"));
  EXPECT_TRUE(excludes("/build/", "build/x"));
  EXPECT_TRUE(excludes("*/temp*", "some/temporary.txt"));
  EXPECT_FALSE(excludes("*/temp*", "a/b/temporary.txt"));
}

TEST(IgnorePatterns, DoubleStarsCrossFolders) {
  EXPECT_TRUE(excludes("**/*.o", "x.o"));
  EXPECT_TRUE(excludes("**/*.o", "a/b/x.o"));
  EXPECT_TRUE(excludes("a/**/b", "a/b"));
  EXPECT_TRUE(excludes("a/**/b", "a/x/y/b"));
  EXPECT_FALSE(excludes("a/**/b", "a/xb"));
  EXPECT_TRUE(excludes("a/**", "a/x/y"));
  EXPECT_TRUE(excludes("**", "anything/at/all"));
}

TEST(IgnorePatterns, CommentsBlanksAndMalformedLines) {
  EXPECT_TRUE(excludes("\xef\xbb\xbf# x\n\n   a.b  \r\n", "a.b"));
  EXPECT_FALSE(excludes("# x", "# x"));
  EXPECT_FALSE(IgnorePatterns::parse("!"));
  EXPECT_FALSE(IgnorePatterns::parse("[a-"));
}

TEST(MatchPath, IsGosFilepathMatch) {
  EXPECT_EQ(match_path("a*", "abc"), Match::yes);
  EXPECT_EQ(match_path("a*", "ab/c"), Match::no);
  EXPECT_EQ(match_path("a*/b", "a/c/b"), Match::no);
  EXPECT_EQ(match_path("a*b*c*d*e*/f", "axbxcxdxexxx/f"), Match::yes);
  EXPECT_EQ(match_path("ab[b-d]", "abc"), Match::yes);
  EXPECT_EQ(match_path("ab[^e-g]", "abc"), Match::yes);
  EXPECT_EQ(match_path("ab[^c]", "abc"), Match::no);
  EXPECT_EQ(match_path("a\\*b", "a*b"), Match::yes);
  EXPECT_EQ(match_path("a?b", "a/b"), Match::no);
  EXPECT_EQ(match_path("[]a]", "]"), Match::malformed);
  EXPECT_EQ(match_path("[-]", "-"), Match::malformed);
  EXPECT_EQ(match_path("[a", "a"), Match::malformed);
  // Ends soon, whatever it says.
  EXPECT_EQ(match_path(std::string(60, '*') + "b", std::string(2000, 'a')), Match::no);
}

}  // namespace
}  // namespace lab::engine::build
