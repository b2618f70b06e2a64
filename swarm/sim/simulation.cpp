#include "swarm/sim/simulation.hpp"

#include <fmt/core.h>

#include "swarm/sim/checker.hpp"
#include "swarm/sim/faults.hpp"
#include "swarm/sim/workload.hpp"
#include "swarm/sim/world.hpp"

namespace lab::swarm::sim {

namespace {

constexpr Duration slice = std::chrono::milliseconds(100);
constexpr Duration formation_max = std::chrono::seconds(60);
constexpr Duration convergence_max = std::chrono::seconds(120);

// Machine 0 begins the swarm, the others join it, first the managers.
std::string form(World& world, const Checker& checker, const Parameters& parameters) {
  netsim::LinkQuality calm;
  calm.delay = std::chrono::milliseconds(1);
  world.network().set_default_quality(calm);
  const std::size_t total = static_cast<std::size_t>(parameters.managers + parameters.workers);
  for (std::size_t i = 0; i < total; ++i) world.add_node();
  std::string problem;
  std::size_t joined = 0;
  auto on_answer = [&](const Result<proto::ControlResponse>& response) {
    if (response)
      ++joined;
    else
      problem = response.error().message;
  };
  world.init(0, on_answer);
  world.queue().run_for(std::chrono::seconds(1));
  for (std::size_t i = 1; i < total && problem.empty(); ++i) {
    const bool manager = static_cast<int>(i) < parameters.managers;
    world.join(i, manager ? World::manager_token : World::worker_token, {world.address(0)},
               on_answer);
    world.queue().run_for(std::chrono::milliseconds(20));
  }
  const TimePoint deadline = world.queue().now() + formation_max;
  while (problem.empty() && !checker.violation() && world.queue().now() < deadline &&
         (joined < total || !Checker::not_converged(world).empty()))
    world.queue().run_for(slice);
  if (!problem.empty()) return "forming the swarm: " + problem;
  if (joined < total)
    return fmt::format("forming the swarm: {} of {} nodes joined in time", joined, total);
  const std::string missing = Checker::not_converged(world);
  return missing.empty() ? "" : "forming the swarm: " + missing;
}

void run(World& world, Checker& checker, Faults& faults, Workload& workload, Report& report) {
  faults.begin();
  workload.begin();
  const TimePoint faults_until = world.queue().now() + report.parameters.faults_for;
  while (world.queue().now() < faults_until && !checker.violation()) world.queue().run_for(slice);
  workload.end();
  faults.end();
  const TimePoint healed = world.queue().now();
  // Long enough that whoever is Down without being seen so yet is found out.
  std::string missing = "nothing was tried";
  while (!checker.violation() && !missing.empty() &&
         world.queue().now() < healed + convergence_max) {
    world.queue().run_for(slice);
    missing = Checker::not_converged(world);
  }
  report.convergence = world.queue().now() - healed;
  if (!checker.violation() && !missing.empty())
    checker.failed(fmt::format("not converged {} s after the faults ended: {}",
                               convergence_max / std::chrono::seconds(1), missing));
  // Once more round for the removed nodes to try to come in.
  if (!checker.violation()) world.queue().run_for(std::chrono::seconds(6));
  const TimePoint settled = world.queue().now() + std::chrono::seconds(10);
  while (!checker.violation() && world.queue().now() < settled &&
         !Checker::not_converged(world).empty())
    world.queue().run_for(slice);
  if (!checker.violation()) checker.check_end(world);
}

}  // namespace

Report simulate(const Parameters& parameters, Mutation mutation) {
  Report report;
  report.parameters = parameters;
  Checker checker;
  World world(parameters, mutation, checker);
  Faults faults(world, parameters);
  Workload workload(world, checker, parameters);
  const std::string problem = form(world, checker, parameters);
  if (!problem.empty()) checker.failed(problem);
  if (!checker.violation()) run(world, checker, faults, workload, report);

  report.violation = checker.violation().value_or("");
  if (checker.violation()) report.last_state = describe(world);
  report.trace_hash = world.trace_hash();
  report.steps = world.steps();
  report.virtual_time = world.queue().now().time_since_epoch();
  const Workload::Counters& counters = workload.counters();
  report.acknowledged = counters.acknowledged;
  report.unknown = counters.unknown;
  report.refused = counters.refused;
  report.promotions = counters.promotions;
  report.demotions = counters.demotions;
  report.removals = counters.removals;
  report.joins = counters.joins;
  report.terms_led = checker.terms_led();
  report.crashes = faults.crashes();
  report.partitions = faults.partitions();
  report.refusals = checker.refusals();
  for (std::size_t i = 0; i < world.size(); ++i) {
    report.torn_writes += world.disk_counters(i).torn;
    report.lost_writes += world.disk_counters(i).lost;
    report.snapshots += world.disk_counters(i).snapshots;
  }
  return report;
}

std::string describe(const Report& report) {
  const auto seconds = [](Duration time) { return static_cast<double>(time.count()) * 1e-9; };
  return fmt::format(
      "seed {}: {}; trace {:016x}, {} steps, {:.1f} s, converged in {:.1f} s; {} acknowledged, {} "
      "unknown, {} refused; {} terms, {} crashes, {} partitions, {} torn, {} lost, {} snapshots; "
      "{} promoted, {} demoted, {} removed, {} joined, {} refusals",
      report.parameters.seed, report.violation.empty() ? "ok" : report.violation, report.trace_hash,
      report.steps, seconds(report.virtual_time), seconds(report.convergence), report.acknowledged,
      report.unknown, report.refused, report.terms_led, report.crashes, report.partitions,
      report.torn_writes, report.lost_writes, report.snapshots, report.promotions, report.demotions,
      report.removals, report.joins, report.refusals);
}

}  // namespace lab::swarm::sim
