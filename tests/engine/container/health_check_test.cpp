#include "engine/container/health_check.hpp"

#include <gtest/gtest.h>

#include <boost/json/parse.hpp>

namespace lab::engine::container {
namespace {

using namespace std::chrono_literals;

boost::json::object parse(const char* text) { return boost::json::parse(text).as_object(); }

ProbeResult result_at(std::chrono::seconds after_start, int exit_code) {
  ProbeResult result;
  result.start = WallTime(after_start);
  result.end = result.start;
  result.exit_code = exit_code;
  return result;
}

TEST(HealthCheck, DefaultsAndShellOfAConfiguration) {
  const auto check = health_check_of(parse(R"({"Healthcheck": {"Test": ["CMD-SHELL", "a b"]}})"));
  ASSERT_TRUE(check);
  EXPECT_EQ(check->command, (std::vector<std::string>{"/bin/sh", "-c", "a b"}));
  EXPECT_EQ(check->interval, 30s);
  EXPECT_EQ(check->retries, 3);
  const auto own = health_check_of(parse(
      R"({"Shell": ["bash", "-e"], "Healthcheck": {"Test": ["CMD-SHELL", "a"], "Retries": 1}})"));
  EXPECT_EQ(own->command, (std::vector<std::string>{"bash", "-e", "a"}));
  EXPECT_EQ(own->retries, 1);
}

TEST(HealthCheck, NoneAndNothingAreNoCheck) {
  EXPECT_FALSE(health_check_of(parse(R"({"Healthcheck": {"Test": ["NONE"]}})")));
  EXPECT_FALSE(health_check_of(parse("{}")));
}

TEST(HealthCheck, FailuresCountToTheLimitAndASuccessEndsThem) {
  HealthCheck check;
  check.retries = 2;
  Health health;
  apply_probe(health, check, result_at(1s, 1), WallTime());
  EXPECT_EQ(health.status, "starting");
  apply_probe(health, check, result_at(2s, 1), WallTime());
  EXPECT_EQ(health.status, "unhealthy");
  apply_probe(health, check, result_at(3s, 0), WallTime());
  EXPECT_EQ(health.status, "healthy");
  EXPECT_EQ(health.failing_streak, 0);
}

TEST(HealthCheck, FailuresInTheStartPeriodDoNotCount) {
  HealthCheck check;
  check.retries = 1;
  check.start_period = 10s;
  Health health;
  apply_probe(health, check, result_at(9s, 1), WallTime());
  EXPECT_EQ(health.failing_streak, 0);
  apply_probe(health, check, result_at(11s, 1), WallTime());
  EXPECT_EQ(health.status, "unhealthy");
}

TEST(HealthCheck, TheLogKeepsTheLastFiveAndCutsOutput) {
  HealthCheck check;
  Health health;
  for (int i = 0; i < 7; ++i) {
    ProbeResult result = result_at(std::chrono::seconds(i), 0);
    result.output = std::string(5000, 'x');
    apply_probe(health, check, result, WallTime());
  }
  ASSERT_EQ(health.log.size(), 5U);
  EXPECT_EQ(health.log.front().at("Start").as_string(), "1970-01-01T00:00:02.000000000Z");
  EXPECT_EQ(health.log.front().at("Output").as_string().size(), 4099U);
}

TEST(HealthCheck, DurationsAreWrittenAsGoDoes) {
  EXPECT_EQ(go_duration(90s), "1m30s");
  EXPECT_EQ(go_duration(1500ms), "1.5s");
  EXPECT_EQ(go_duration(250ms), "250ms");
  EXPECT_EQ(go_duration(1h), "1h0m0s");
}

TEST(HealthCheck, ValuesOutOfRangeAreRefused) {
  EXPECT_EQ(validate_health(parse(R"({"Interval": 1000})")).error().message,
            "Interval in Healthcheck cannot be less than 1ms");
  EXPECT_EQ(validate_health(parse(R"({"Retries": -1})")).error().message,
            "Retries in Healthcheck cannot be negative");
}

}  // namespace
}  // namespace lab::engine::container
