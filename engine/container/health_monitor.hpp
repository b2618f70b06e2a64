// Runs the health checks of running containers: an exec every interval, its status and output
// written to the container's health, and an event when the health changes.
#pragma once

#include <boost/asio/awaitable.hpp>

#include "engine/container/exec.hpp"
#include "engine/container/health_check.hpp"

namespace lab::engine::container {

class HealthMonitor {
 public:
  HealthMonitor(Containers& containers, Execs& execs)
      : containers_(containers), execs_(execs), background_(containers.services().executor) {}

  // Probes the container until this run of it ends; nothing to do without a health check. Not while
  // it is paused.
  void watch(const ContainerPtr& container);

 private:
  [[nodiscard]] boost::asio::awaitable<void> monitor(ContainerPtr container, HealthCheck check);
  [[nodiscard]] boost::asio::awaitable<ProbeResult> probe(ContainerPtr container,
                                                          HealthCheck check);
  // The output and whether the process ended in time; it is gone either way.
  [[nodiscard]] boost::asio::awaitable<bool> wait_ended(ExecPtr exec, Duration timeout);
  void note(Container& container, const HealthCheck& check, const ProbeResult& result);

  Containers& containers_;
  Execs& execs_;
  Background background_;
};

}  // namespace lab::engine::container
