#include "engine/container/health_monitor.hpp"

#include <signal.h>

#include "engine/container/inspect.hpp"
#include "engine/util/json.hpp"

namespace lab::engine::container {

namespace asio = boost::asio;
namespace json = boost::json;

namespace {

// How long a killed probe may take to go, and its output to be read.
constexpr std::chrono::seconds end_wait{10};

// What a probe writes, read by a coroutine of its own.
struct Output {
  explicit Output(const asio::any_io_executor& executor) : changed(executor) {}
  std::string text;
  bool complete = false;
  Signal changed;
};

asio::awaitable<void> collect(std::shared_ptr<AttachSession> session,
                              std::shared_ptr<Output> output) {
  // One byte more than is kept shows that something was left out.
  output->text = co_await session->collect(probe_output_bytes_max + 1);
  output->complete = true;
  output->changed.notify_all();
}

}  // namespace

void HealthMonitor::watch(const ContainerPtr& container) {
  std::optional<HealthCheck> check = health_check_of(container->config);
  if (!check) return;
  background_.spawn("checking a container's health", monitor(container, std::move(*check)));
}

asio::awaitable<void> HealthMonitor::monitor(ContainerPtr container, HealthCheck check) {
  const Clock& clock = containers_.services().clock;
  const std::uint64_t run = container->exits;
  auto runs = [&container, run] { return container->state.running && container->exits == run; };
  while (runs()) {
    if (container->state.paused) {
      // As dockerd shows a container that is not being probed.
      if (container->state.health) container->state.health->status = "unhealthy";
      co_await container->changed.wait();
      continue;
    }
    const TimePoint due = clock.now() + check.interval;
    while (runs() && !container->state.paused && clock.now() < due)
      co_await container->changed.wait_until(due);
    if (!runs() || container->state.paused) continue;
    const ProbeResult result = co_await probe(container, check);
    if (runs() && !container->state.paused) note(*container, check, result);
  }
}

void HealthMonitor::note(Container& container, const HealthCheck& check,
                         const ProbeResult& result) {
  if (!container.state.health) container.state.health = Health{};
  Health& health = *container.state.health;
  const std::string before = health.status;
  Result<WallTime> started = parse_rfc3339(container.state.started_at);
  apply_probe(health, check, result, started ? *started : WallTime());
  if (health.status != before) containers_.emit(container, "health_status: " + health.status);
  container.changed.notify_all();
}

asio::awaitable<bool> HealthMonitor::wait_ended(ExecPtr exec, Duration timeout) {
  const Clock& clock = containers_.services().clock;
  const TimePoint deadline = clock.now() + timeout;
  while (exec->running && clock.now() < deadline) co_await exec->changed.wait_until(deadline);
  if (!exec->running) co_return true;
  static_cast<void>(send_signal(exec->process, SIGKILL));
  const TimePoint last = clock.now() + end_wait;
  while (exec->running && clock.now() < last) co_await exec->changed.wait_until(last);
  co_return false;
}

asio::awaitable<ProbeResult> HealthMonitor::probe(ContainerPtr container, HealthCheck check) {
  const Clock& clock = containers_.services().clock;
  ProbeResult result;
  result.start = clock.wall_now();
  result.exit_code = -1;
  json::object request{
      {"Cmd", to_array(check.command)}, {"AttachStdout", true}, {"AttachStderr", true}};
  Result<ExecPtr> exec = execs_.create(container, request);
  Result<void> started;
  AttachOptions options;
  options.output = true;
  options.errors = true;
  auto session =
      std::make_shared<AttachSession>(containers_.services().executor, std::move(options));
  if (exec) {
    started = co_await execs_.start(*exec, session, false);
  } else {
    started = std::move(exec).error();
  }
  if (!started) {
    result.output = started.error().message;
    result.end = clock.wall_now();
    co_return result;
  }
  auto output = std::make_shared<Output>(containers_.services().executor);
  background_.spawn("reading a health check's output", collect(session, output));
  if (co_await wait_ended(*exec, check.timeout)) {
    const TimePoint last = clock.now() + end_wait;
    while (!output->complete && clock.now() < last) co_await output->changed.wait_until(last);
    result.exit_code = (*exec)->exit_code.value_or(-1);
    result.output = output->text;
  } else {
    result.output = fmt::format("Health check exceeded timeout ({})", go_duration(check.timeout));
  }
  result.end = clock.wall_now();
  co_return result;
}

}  // namespace lab::engine::container
