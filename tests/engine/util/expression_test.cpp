#include "engine/util/expression.hpp"

#include <gtest/gtest.h>

namespace lab::engine {
namespace {

TEST(Expression, IsSearchedForAnywhere) {
  EXPECT_TRUE(is_found_in("we", "/web"));
  EXPECT_TRUE(is_found_in("^/web$", "/web"));
  EXPECT_FALSE(is_found_in("^web$", "/web"));
  EXPECT_TRUE(is_found_in("w[a-e]b", "web-1"));
}

TEST(Expression, IsComparedAsItStandsWhenItIsNone) {
  EXPECT_TRUE(is_found_in("[", "["));
  EXPECT_FALSE(is_found_in("[", "a["));
}

TEST(Expression, ComesToAnEndWhateverItIs) {
  const std::string name(100, 'a');
  EXPECT_FALSE(is_found_in("(a*)*(a*)*(a*)*b", name));
  EXPECT_FALSE(is_found_in("((a+)+)+(a+)+$b", name));
  EXPECT_FALSE(is_found_in(std::string(100'000, '(') + std::string(100'000, ')') + "b", name));
  EXPECT_FALSE(is_found_in("(((a{1,1000}){1,1000}){1,1000}){1,1000}b", name));
}

}  // namespace
}  // namespace lab::engine
