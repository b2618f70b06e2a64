#include "netsim/quality.hpp"

#include <gtest/gtest.h>

#include <boost/json/parse.hpp>

namespace lab::netsim {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(Quality, ReadsNetemsWords) {
  EXPECT_EQ(parse_time("10ms").value(), milliseconds{10});
  EXPECT_EQ(parse_time("1.5s").value(), milliseconds{1500});
  EXPECT_EQ(parse_time("250us").value(), microseconds{250});
  EXPECT_EQ(parse_time("0").value(), Duration{0});
  EXPECT_DOUBLE_EQ(parse_probability("1%").value(), 0.01);
  EXPECT_DOUBLE_EQ(parse_probability("0.25%").value(), 0.0025);
  EXPECT_EQ(parse_rate("10mbit").value(), 10'000'000U);
  EXPECT_EQ(parse_rate("1Gbit").value(), 1'000'000'000U);
  EXPECT_EQ(parse_rate("100kbps").value(), 800'000U);
  EXPECT_EQ(parse_rate("9600").value(), 9'600U);
}

TEST(Quality, RefusesWordsThatMeanNothing) {
  for (const char* word : {"", "10", "ms", "-1ms", "10 ms", "2h", "1e30s", "nan", "inf", "3601s"}) {
    EXPECT_FALSE(parse_time(word)) << word;
  }
  for (const char* word : {"", "1", "-1%", "101%", "%", "1%%", "nan%"}) {
    EXPECT_FALSE(parse_probability(word)) << word;
  }
  for (const char* word : {"", "fast", "10mb", "-1bit", "1e20gbit", "0.5bit"}) {
    EXPECT_FALSE(parse_rate(word)) << word;
  }
}

TEST(Quality, AnErrorNamesKeyAndValue) {
  LinkQuality quality;
  EXPECT_EQ(set_quality(quality, "delay", "10").error().message,
            "delay: \"10\" is not a time: write a number and s, ms, us or ns, like \"10ms\"");
  EXPECT_EQ(set_quality(quality, "latency", "1ms").error().message,
            "\"latency\" is no property of a link; there are delay, jitter, loss, duplicate, "
            "corrupt, reorder, rate, limit");
  EXPECT_EQ(set_quality(quality, "limit", "0").error().message,
            "limit: \"0\" is not a number of frames: write 1 to 1000000");
}

TEST(Quality, EveryPrintedWordReadsBackAsTheSame) {
  LinkQuality quality;
  quality.delay = microseconds{12'345};
  quality.jitter = microseconds{7};
  quality.loss = 0.07;
  quality.duplicate = 0.001;
  quality.corrupt = 0.29;
  quality.reorder = 1;
  quality.rate_bits = 2'500'000;
  quality.limit_frames = 50;
  LinkQuality again;
  ASSERT_TRUE(merge_json(again, to_json(quality)));
  EXPECT_EQ(again, quality);
  EXPECT_EQ(to_string(quality),
            "delay 12.345ms jitter 7us loss 7% duplicate 0.1% corrupt 29% reorder 100% "
            "rate 2.5mbit limit 50");
  EXPECT_EQ(to_string(LinkQuality{}), "perfect");
  EXPECT_TRUE(to_json(LinkQuality{}).empty());
}

TEST(Quality, MergingKeepsWhatIsNotNamedAndChangesNothingOnError) {
  LinkQuality quality;
  ASSERT_TRUE(
      merge_json(quality, boost::json::parse(R"({"delay":"10ms","loss":"1%"})").as_object()));
  ASSERT_TRUE(merge_json(quality,
                         boost::json::parse(R"({"from":"vm1","loss":"2%","limit":10})").as_object(),
                         {"from"}));
  EXPECT_EQ(to_string(quality), "delay 10ms loss 2% limit 10");
  const LinkQuality before = quality;
  for (const char* bad : {R"({"loss":"3%","delay":5})", R"({"loss":"3%","speed":"1mbit"})",
                          R"({"delay":"0ms","jitter":"1ms"})", R"({"limit":-1})",
                          R"({"limit":1.5})", R"({"loss":null})"}) {
    const auto result = merge_json(quality, boost::json::parse(bad).as_object());
    ASSERT_FALSE(result) << bad;
    EXPECT_EQ(result.error().code, Code::invalid_argument);
    EXPECT_EQ(quality, before) << bad;
  }
  EXPECT_EQ(merge_json(quality, boost::json::parse(R"({"loss":3})").as_object()).error().message,
            "loss: 3 is not a string");
}

TEST(Quality, JitterAndReorderNeedADelay) {
  LinkQuality quality;
  quality.jitter = milliseconds{1};
  EXPECT_EQ(check_quality(quality).error().message,
            "jitter is \"1ms\" but delay is 0: jitter needs a delay, as in \"delay 10ms\"");
  quality.delay = seconds{1};
  EXPECT_TRUE(check_quality(quality));
}

}  // namespace
}  // namespace lab::netsim
