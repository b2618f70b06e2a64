// A container's health check: what the configuration asks for, and what a probe's result makes of
// the container's health. Without I/O; health_monitor.hpp runs the probes.
#pragma once

#include <boost/json/object.hpp>
#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "engine/container/container.hpp"

namespace lab::engine::container {

struct HealthCheck {
  std::vector<std::string> command;
  Duration interval = std::chrono::seconds(30);
  Duration timeout = std::chrono::seconds(30);
  // Failures in this time after the start do not count until a probe has succeeded.
  Duration start_period{0};
  int retries = 3;
};
// Of a container's Config; nothing without a check or with "NONE".
[[nodiscard]] std::optional<HealthCheck> health_check_of(const boost::json::object& config);
// Of a container whose process has just been started.
[[nodiscard]] std::optional<Health> initial_health(const boost::json::object& config);

// Docker's texts for what is out of range: Code::invalid_argument.
[[nodiscard]] Result<void> validate_health(const boost::json::object& health_check);

struct ProbeResult {
  WallTime start;
  WallTime end;
  int exit_code = 0;  // -1: not started, or not ended in time
  std::string output;
};
inline constexpr std::size_t probe_output_bytes_max = 4096;

void apply_probe(Health& health, const HealthCheck& check, const ProbeResult& result,
                 WallTime started);

// As Go prints a time.Duration: "1m30s", "1.5s", "250ms".
[[nodiscard]] std::string go_duration(Duration duration);

}  // namespace lab::engine::container
