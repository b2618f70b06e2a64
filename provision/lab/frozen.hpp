// Machines of a lab stopped at one instant, and going on from it: what snapshots and suspension are
// made of. The network is paused before the first machine and goes on before the first one does, so
// that none receives a frame that another sent after its own instant.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "provision/lab/lab.hpp"
#include "provision/node/node.hpp"
#include "provision/parallel.hpp"
#include "vm/provider.hpp"

namespace lab::provision {

// Whether a save or start was interrupted: machines may be paused, and the network.
[[nodiscard]] bool left_frozen(const LabPaths& paths);

class Frozen {
 public:
  // Where a machine's state lies.
  using StateFile = std::function<std::filesystem::path(const std::string& machine)>;

  // All references outlive it. The lab's lock is held.
  Frozen(vm::Provider& provider, const LabView& lab, std::vector<std::string> machines,
         const Clock& clock)
      : provider_(provider), lab_(lab), machines_(std::move(machines)), clock_(clock) {}

  // Makes a session to each machine that runs, unless there is one.
  [[nodiscard]] Task reach();
  // Machines that run are paused and their states written. They stay paused, the network too.
  [[nodiscard]] Task save(StateFile file);
  // Pulls their plugs.
  [[nodiscard]] Task stop();
  // Starts machines that are off from their states; they are paused then, the network too. Those
  // that are paused already are left so.
  [[nodiscard]] Task start(StateFile file);
  // The network goes on, then all machines at once; their clocks are set right. `discard` is for
  // machines that are no more what they were when the frames were sent that wait in the network.
  [[nodiscard]] Task go_on(bool discard);

  // A session to each machine, after reach() or go_on().
  [[nodiscard]] std::map<std::string, Node>& nodes() { return nodes_; }

 private:
  // `step` for all machines beside each other.
  [[nodiscard]] Task each(std::function<Task(std::string machine)> step);
  [[nodiscard]] Task save_one(std::string machine, const StateFile& file);
  [[nodiscard]] Task start_one(std::string machine, const StateFile& file);
  [[nodiscard]] Task resume_one(std::string machine);
  [[nodiscard]] Task stop_one(std::string machine);
  [[nodiscard]] Task reach_one(std::string machine);
  [[nodiscard]] Task set_clock(std::string machine);
  [[nodiscard]] Result<Node> connect(const std::string& machine) const;
  [[nodiscard]] vm::MachineId id_of(std::string machine) const {
    return {lab_.state->id, std::move(machine)};
  }

  vm::Provider& provider_;
  const LabView& lab_;
  std::vector<std::string> machines_;
  const Clock& clock_;
  std::map<std::string, Node> nodes_;
};

}  // namespace lab::provision
