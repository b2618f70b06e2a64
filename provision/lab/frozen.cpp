#include "provision/lab/frozen.hpp"

#include "base/blocking.hpp"
#include "provision/lab/daemon.hpp"
#include "provision/lab/keys.hpp"

namespace lab::provision {

namespace {

constexpr std::chrono::seconds answer_time(60);

// There from before the first machine is paused until all go on.
std::filesystem::path mark(const LabPaths& paths) { return paths.directory / "frozen"; }

Result<void> freeze_network(const LabPaths& paths) {
  LAB_CHECK(write_file(mark(paths), "", 0600));
  return pause_network(paths);
}

}  // namespace

bool left_frozen(const LabPaths& paths) {
  std::error_code error;
  return std::filesystem::exists(mark(paths), error);
}

Task Frozen::each(std::function<Task(std::string machine)> step) {
  std::vector<Task> tasks;
  for (const std::string& machine : machines_) tasks.push_back(step(machine));
  const auto results = co_await run_all(std::move(tasks));
  co_return joined_errors(results);
}

Task Frozen::save_one(std::string machine, const StateFile& file) {
  vm::SavedState state{file(machine), {}};
  vm::MachineId id = id_of(std::move(machine));
  co_return co_await provider_.save(std::move(id), std::move(state));
}

Task Frozen::start_one(std::string machine, const StateFile& file) {
  vm::SavedState state{file(machine), {}};
  vm::MachineId id = id_of(std::move(machine));
  LAB_CO_TRY(const vm::MachineState now, co_await provider_.state(id));
  if (now == vm::MachineState::paused) co_return Result<void>{};
  co_return co_await provider_.start_saved(std::move(id), std::move(state));
}

Task Frozen::resume_one(std::string machine) {
  vm::MachineId id = id_of(std::move(machine));
  co_return co_await provider_.start(std::move(id));
}

Task Frozen::stop_one(std::string machine) {
  vm::MachineId id = id_of(std::move(machine));
  co_return co_await provider_.stop(std::move(id), std::chrono::milliseconds(0));
}

Task Frozen::save(StateFile file) {
  LAB_CO_CHECK(freeze_network(lab_.paths));
  std::function<Task(std::string)> step = [this, &file](std::string machine) {
    return save_one(std::move(machine), file);
  };
  co_return co_await each(std::move(step));
}

Task Frozen::stop() {
  nodes_.clear();
  std::error_code ignored;
  std::filesystem::remove(mark(lab_.paths), ignored);
  std::function<Task(std::string)> step = [this](std::string machine) {
    return stop_one(std::move(machine));
  };
  co_return co_await each(std::move(step));
}

Task Frozen::start(StateFile file) {
  LAB_CO_CHECK(freeze_network(lab_.paths));
  std::function<Task(std::string)> step = [this, &file](std::string machine) {
    return start_one(std::move(machine), file);
  };
  co_return co_await each(std::move(step));
}

Result<Node> Frozen::connect(const std::string& machine) const {
  LAB_TRY(const SshTarget target, ssh_target(lab_.paths, *lab_.state, machine));
  const auto alive = [this, &machine] { return machine_processes(*lab_.state)[machine] != 0; };
  return Node::wait_for_ssh(target, clock_, answer_time, alive, [] { return true; });
}

Task Frozen::reach_one(std::string machine) {
  if (nodes_.contains(machine)) co_return Result<void>{};
  std::function<Result<Node>()> work = [this, &machine] { return connect(machine); };
  Result<Node> node = co_await run_blocking(std::move(work));
  if (!node) co_return node.error();
  nodes_.emplace(machine, std::move(*node));
  co_return Result<void>{};
}

// The guest's own time went on from its instant; the world's did not wait.
Task Frozen::set_clock(std::string machine) {
  LAB_CO_CHECK(co_await reach_one(machine));
  Node& node = nodes_.at(machine);  // it stays where it is when others are added
  std::function<Result<void>()> work = [this, &node]() -> Result<void> {
    const auto now = std::chrono::duration<double>(clock_.wall_now().time_since_epoch());
    SshCommand command{fmt::format("date -u -s @{:.3f}", now.count())};
    LAB_CHECK(node.session().exec_checked(command));
    return {};
  };
  co_return co_await run_blocking(std::move(work));
}

Task Frozen::reach() {
  std::function<Task(std::string)> step = [this](std::string machine) {
    return reach_one(std::move(machine));
  };
  co_return co_await each(std::move(step));
}

Task Frozen::go_on(bool discard) {
  LAB_CO_CHECK(resume_network(lab_.paths, discard));
  std::function<Task(std::string)> step = [this](std::string machine) {
    return resume_one(std::move(machine));
  };
  LAB_CO_CHECK(co_await each(std::move(step)));
  std::error_code ignored;
  std::filesystem::remove(mark(lab_.paths), ignored);
  step = [this](std::string machine) { return set_clock(std::move(machine)); };
  co_return co_await each(std::move(step));
}

}  // namespace lab::provision
