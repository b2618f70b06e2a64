#include "engine/api/filters.hpp"

#include <gtest/gtest.h>

namespace lab::engine::api {
namespace {

class FixedClock final : public Clock {
 public:
  TimePoint now() const override { return {}; }
  WallTime wall_now() const override { return WallTime(std::chrono::seconds(1'700'000'000)); }
};

TEST(Filters, ReadBothJsonForms) {
  const FilterSet list = FilterSet::parse(R"({"label":["a","b=c"]})").value();
  EXPECT_EQ(list.values("label"), (std::vector<std::string>{"a", "b=c"}));
  const FilterSet map = FilterSet::parse(R"({"label":{"a":true,"b":false}})").value();
  EXPECT_EQ(map.values("label"), std::vector<std::string>{"a"});
  EXPECT_FALSE(FilterSet::parse("").value().has("label"));
  for (const std::string text : {"x", "[]", R"({"a":1})", R"({"a":[1]})"}) {
    EXPECT_TRUE(FilterSet::parse(text).has_error()) << text;
  }
}

TEST(Filters, RefuseUnknownNamesAndFlags) {
  const FilterSet filters = FilterSet::parse(R"({"bad":["x"],"dangling":["x"]})").value();
  EXPECT_EQ(filters.check_names({"dangling"}).error().message, "Invalid filter 'bad'");
  EXPECT_EQ(filters.flag("dangling", false).error().message, "Invalid filter 'dangling=[x]'");
  EXPECT_TRUE(filters.flag("missing", true).value());
}

TEST(Filters, MatchEveryLabel) {
  const FilterSet filters = FilterSet::parse(R"({"label":["a","b=c"]})").value();
  EXPECT_TRUE(filters.match_labels("label", {{"a", "1"}, {"b", "c"}}));
  EXPECT_FALSE(filters.match_labels("label", {{"a", "1"}, {"b", "d"}}));
  EXPECT_FALSE(filters.match_labels("label", {{"b", "c"}}));
}

TEST(Filters, ReadUntilAsTimeOrDuration) {
  const FixedClock clock;
  const auto until = [&](const std::string& text) {
    return until_of(FilterSet::parse(R"({"until":[")" + text + R"("]})").value(), clock);
  };
  EXPECT_EQ(until("24h").value(), 1'700'000'000 - 86'400);
  EXPECT_EQ(until("1h30m").value(), 1'700'000'000 - 5'400);
  EXPECT_EQ(until("2023-11-14").value(), 1'699'920'000);
  EXPECT_EQ(until("2023-11-14T00:00:01Z").value(), 1'699'920'001);
  EXPECT_EQ(until("1699920000").value(), 1'699'920'000);
  EXPECT_TRUE(until("yesterday").has_error());
  EXPECT_TRUE(until("5x").has_error());
}

}  // namespace
}  // namespace lab::engine::api
