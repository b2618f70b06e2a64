// What the fuzzers found worth keeping, again and without them.
#include <gtest/gtest.h>

#include <filesystem>

#include "base/file.hpp"
#include "tests/fuzz/targets.hpp"

namespace lab::fuzz {
namespace {

class Corpus : public testing::TestWithParam<std::string> {};

TEST_P(Corpus, IsReplayedWithoutAFinding) {
  const std::filesystem::path folder =
      std::filesystem::path(LAB_SOURCE_DIR) / "tests/fuzz/corpus" / GetParam();
  int inputs = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    SCOPED_TRACE(entry.path().string());
    const auto bytes = read_file(entry.path());
    ASSERT_TRUE(bytes);
    targets().at(GetParam())(*bytes);
    ++inputs;
  }
  EXPECT_GT(inputs, 0);
}

std::vector<std::string> names() {
  std::vector<std::string> all;
  for (const auto& [name, target] : targets()) all.push_back(name);
  return all;
}

INSTANTIATE_TEST_SUITE_P(Fuzz, Corpus, testing::ValuesIn(names()),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace lab::fuzz
