#include "scenarios/document.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/random.hpp"
#include "scenarios/pattern.hpp"

namespace lab::scenarios {
namespace {

using std::chrono::milliseconds;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

Document parse(std::string_view text) {
  Result<Document> document = parse_document("doc.md", text);
  if (!document) {
    ADD_FAILURE() << document.error().message;
    return {};
  }
  return std::move(*document);
}

std::string fault(std::string_view text) {
  Result<Document> document = parse_document("doc.md", text);
  if (document) {
    ADD_FAILURE() << "was accepted";
    return {};
  }
  EXPECT_EQ(document.error().code, Code::invalid_argument);
  return document.error().message;
}

TEST(Document, ReadsTitleAndTranscripts) {
  Document document = parse(R"(---
for: other tools
---
# Hello world

Some text.

```console
root@vm1:~# docker ps
CONTAINER ID   IMAGE

root@vm2:/srv/x# false
[1]
```
)");
  EXPECT_EQ(document.title, "Hello world");
  ASSERT_EQ(document.blocks.size(), 1U);
  const std::vector<Command>& commands = document.blocks[0].commands;
  ASSERT_EQ(commands.size(), 2U);
  EXPECT_EQ(commands[0].line, 9);
  EXPECT_EQ(commands[0].prompt, "root@vm1:~#");
  EXPECT_EQ(commands[0].machine, "vm1");
  EXPECT_EQ(commands[0].user, "root");
  EXPECT_EQ(commands[0].directory, "~");
  EXPECT_EQ(commands[0].text, "docker ps");
  EXPECT_THAT(commands[0].expected, ElementsAre("CONTAINER ID   IMAGE"));
  EXPECT_EQ(commands[0].expected_line, 10);
  EXPECT_EQ(commands[1].directory, "/srv/x");
  EXPECT_EQ(commands[1].status, 1);
  EXPECT_THAT(commands[1].expected, IsEmpty());
}

TEST(Document, DollarIsTheHostOrTheMachineOfTheFence) {
  Document document = parse("```console\n$ ls\n```\n```console machine=vm3\n$ ls\n```\n");
  EXPECT_EQ(document.blocks[0].commands[0].machine, "");
  EXPECT_EQ(document.blocks[1].commands[0].machine, "vm3");
}

TEST(Document, CommandsGoOnBehindAngleBracketsAndBackslashes) {
  Document document = parse(R"(```console
$ cat > x <<EOF
> one
>
> two
> EOF
$ docker run \
    --rm \
>   hello
Hello
```
)");
  const std::vector<Command>& commands = document.blocks[0].commands;
  EXPECT_EQ(commands[0].text, "cat > x <<EOF\none\n\ntwo\nEOF");
  EXPECT_EQ(commands[1].text, "docker run \\\n    --rm \\\n  hello");
  EXPECT_THAT(commands[1].expected, ElementsAre("Hello"));
}

TEST(Document, ReadsAttributes) {
  Document document = parse("```console eventually=1m30s timeout=500ms unordered\n$ x\n```\n");
  const Attributes& attributes = document.blocks[0].attributes;
  EXPECT_EQ(attributes.eventually, milliseconds(90'000));
  EXPECT_EQ(attributes.timeout, milliseconds(500));
  EXPECT_TRUE(attributes.unordered);
}

TEST(Document, SkippedBlocksMayHoldAnything) {
  Document document = parse("```console skip\nno prompt\n$ x\n```\n");
  EXPECT_TRUE(document.blocks[0].attributes.skip);
}

TEST(Document, CommentsHoldHiddenBlocks) {
  Document document = parse(R"(<!-- Just a comment
over lines. -->
<!-- setup timeout=5s
root@vm1:~# docker rm -f x
-->
<!-- check
$ true
-->
<!-- cleanup
$ true -->
)");
  ASSERT_EQ(document.blocks.size(), 3U);
  EXPECT_EQ(document.blocks[0].kind, BlockKind::setup);
  EXPECT_EQ(document.blocks[0].attributes.timeout, milliseconds(5000));
  EXPECT_EQ(document.blocks[0].commands[0].line, 4);
  EXPECT_EQ(document.blocks[1].kind, BlockKind::check);
  EXPECT_EQ(document.blocks[2].kind, BlockKind::cleanup);
  EXPECT_EQ(document.blocks[2].commands[0].text, "true ");
}

TEST(Document, OtherFencesAreNotRun) {
  Document document = parse("```sh\n$ rm -rf x\n```\n~~~\nroot@vm1:~# x\n~~~\n    $ y\n");
  EXPECT_THAT(document.blocks, IsEmpty());
}

TEST(Document, LongerFencesHoldShorterOnes) {
  Document document = parse("````console\n$ cat x.md\n```console\n$ no prompt?\n```\n````\n");
  ASSERT_EQ(document.blocks.size(), 1U);
  EXPECT_THAT(document.blocks[0].commands[0].expected, ElementsAre("```console"));
}

TEST(Document, IndentedFencesLoseTheirIndentation) {
  Document document = parse("1. Step\n\n   ```console\n   $ x\n     y\n   ```\n");
  EXPECT_THAT(document.blocks[0].commands[0].expected, ElementsAre("  y"));
}

TEST(Document, OutputThatLooksAlmostLikeAPromptIsOutput) {
  Document document = parse(
      "```console\n$ x\nmail@host: subject\nuser@host:path\n a@b:~# x\n$x\nroot@vm1:~#x\n```\n");
  ASSERT_EQ(document.blocks[0].commands.size(), 1U);
  EXPECT_EQ(document.blocks[0].commands[0].expected.size(), 5U);
}

TEST(Document, AStatusIsTheLastLineOnly) {
  Document document = parse("```console\n$ x\n[1]\nmore\n[300]\n```\n");
  EXPECT_EQ(document.blocks[0].commands[0].status, 0);
  EXPECT_EQ(document.blocks[0].commands[0].expected.size(), 3U);
}

TEST(Document, NamesEveryFaultWithItsLine) {
  const std::string message = fault(R"(# x
```console eventualy=3s
$ x
```
```console timeout=soon
$ x
```
```console
no prompt
```
```console
$ x
(( (re)
```
)");
  EXPECT_THAT(message, HasSubstr("doc.md:2: unknown attribute \"eventualy=3s\""));
  EXPECT_THAT(message, HasSubstr("doc.md:5: timeout is \"soon\""));
  EXPECT_THAT(message, HasSubstr("doc.md:9: a block starts with a prompt"));
  EXPECT_THAT(message, HasSubstr("doc.md:13: \"((\" is not a regular expression"));
}

TEST(Document, RefusesBlocksWithoutEnd) {
  EXPECT_THAT(fault("```console\n$ x\n"), HasSubstr("doc.md:1: the console block"));
  EXPECT_THAT(fault("text\n<!-- setup\n$ x\n"), HasSubstr("doc.md:2: the comment"));
  EXPECT_THAT(fault("```console\n$ \n```\n"), HasSubstr("doc.md:2: the prompt has no command"));
}

TEST(Document, SurvivesAnyBytes) {
  Random random(secure_random_seed());
  SCOPED_TRACE(random.seed());
  const std::vector<std::string> pieces = {
      "```console", "```",          "~~~", "<!-- setup", "-->",     "\n",          "\n",
      "$ x",        "root@vm1:~# ", "> ",  "...",        "%{ID:a}", "%{",          "${a}",
      " (re)",      "[1]",          "[",   "\\",         "\0x",     "eventually=", "9999999999s",
      " ",          "\xff\xfe",     "---", "# t",        "(",       "*",           "\r"};
  for (int round = 0; round < 3000; ++round) {
    std::string text;
    for (std::uint64_t i = random.below(40); i > 0; --i)
      text += pieces[random.below(pieces.size())];
    Result<Document> document = parse_document("doc.md", text);
    if (!document) {
      EXPECT_THAT(document.error().message, HasSubstr("doc.md:"));
      continue;
    }
    for (const Block& block : document->blocks) {
      for (const Command& command : block.commands) {
        Result<Pattern> pattern = Pattern::compile(command.expected, 1, {{"a", "x"}});
        if (!pattern) continue;
        const MatchResult matched = pattern->match(text, block.attributes.unordered);
        EXPECT_TRUE(matched.matched || !matched.diff.empty());
      }
    }
  }
}

}  // namespace
}  // namespace lab::scenarios
