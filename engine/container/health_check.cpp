#include "engine/container/health_check.hpp"

#include <boost/json/array.hpp>

#include "engine/util/json.hpp"

namespace lab::engine::container {

namespace json = boost::json;

namespace {

constexpr std::size_t log_entries_max = 5;
constexpr std::int64_t shortest_nanoseconds = 1'000'000;

void take_duration(const json::object& document, const char* name, Duration& duration) {
  if (const std::int64_t value = integer_of(document, name); value > 0)
    duration = std::chrono::nanoseconds(value);
}

// 1500000 of 1000000 to a unit -> "1.5".
std::string decimal(std::int64_t value, std::int64_t unit) {
  std::string text = fmt::format("{}", value / unit);
  if (value % unit == 0) return text;
  std::string fraction = fmt::format("{}", unit + value % unit).substr(1);
  while (fraction.ends_with('0')) fraction.pop_back();
  return text + "." + fraction;
}

}  // namespace

std::optional<HealthCheck> health_check_of(const json::object& config) {
  const json::object& document = object_of(config, "Healthcheck");
  const std::vector<std::string> test = texts_of(document, "Test");
  if (test.size() < 2 || (test[0] != "CMD" && test[0] != "CMD-SHELL")) return {};
  HealthCheck check;
  if (test[0] == "CMD") {
    check.command.assign(test.begin() + 1, test.end());
  } else {
    check.command = texts_of(config, "Shell");
    if (check.command.empty()) check.command = {"/bin/sh", "-c"};
    check.command.push_back(test[1]);
  }
  take_duration(document, "Interval", check.interval);
  take_duration(document, "Timeout", check.timeout);
  take_duration(document, "StartPeriod", check.start_period);
  if (const std::int64_t retries = integer_of(document, "Retries"); retries > 0)
    check.retries = static_cast<int>(retries);
  return check;
}

std::optional<Health> initial_health(const json::object& config) {
  if (health_check_of(config)) return Health{};
  return {};
}

Result<void> validate_health(const json::object& health_check) {
  for (const char* name : {"Interval", "Timeout", "StartPeriod"}) {
    const std::int64_t value = integer_of(health_check, name);
    if (value != 0 && value < shortest_nanoseconds) {
      return make_error(Code::invalid_argument, "{} in Healthcheck cannot be less than 1ms", name);
    }
  }
  if (integer_of(health_check, "Retries") < 0)
    return make_error(Code::invalid_argument, "Retries in Healthcheck cannot be negative");
  return {};
}

void apply_probe(Health& health, const HealthCheck& check, const ProbeResult& result,
                 WallTime started) {
  health.log.push_back(
      json::object{{"Start", format_rfc3339(result.start)},
                   {"End", format_rfc3339(result.end)},
                   {"ExitCode", result.exit_code},
                   {"Output", result.output.size() > probe_output_bytes_max
                                  ? result.output.substr(0, probe_output_bytes_max) + "..."
                                  : result.output}});
  while (health.log.size() > log_entries_max) health.log.pop_front();
  if (result.exit_code == 0) {
    health.failing_streak = 0;
    health.status = "healthy";
    return;
  }
  if (health.status == "starting" && result.start - started < check.start_period) return;
  if (++health.failing_streak >= check.retries) health.status = "unhealthy";
}

std::string go_duration(Duration duration) {
  const std::int64_t nanoseconds =
      std::chrono::duration_cast<std::chrono::nanoseconds>(duration).count();
  if (nanoseconds == 0) return "0s";
  if (nanoseconds < 1'000) return fmt::format("{}ns", nanoseconds);
  if (nanoseconds < 1'000'000) return decimal(nanoseconds, 1'000) + "µs";
  if (nanoseconds < 1'000'000'000) return decimal(nanoseconds, 1'000'000) + "ms";
  constexpr std::int64_t minute = 60'000'000'000;
  std::string text;
  if (nanoseconds >= 60 * minute) text += fmt::format("{}h", nanoseconds / (60 * minute));
  if (nanoseconds >= minute) text += fmt::format("{}m", nanoseconds / minute % 60);
  return text + decimal(nanoseconds % minute, 1'000'000'000) + "s";
}

}  // namespace lab::engine::container
