#include "provision/lab/lab.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

#include "base/blocking.hpp"
#include "provision/lab/daemon.hpp"
#include "provision/lab/frozen.hpp"
#include "provision/lab/keys.hpp"
#include "provision/lab/suspend.hpp"
#include "provision/parallel.hpp"

namespace lab::provision {

namespace fs = std::filesystem;
namespace asio = boost::asio;

namespace {

constexpr std::chrono::seconds halt_grace(60);

// The names given, or all that the lab has; an unknown one is an error.
Result<std::vector<std::string>> chosen(const LabView& lab, const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    if (!lab.state->machines.contains(name))
      return make_error(Code::not_found, "there is no machine \"{}\" in this lab", name);
  }
  if (!names.empty()) return names;
  std::vector<std::string> all;
  for (const auto& [name, machine] : lab.state->machines) all.push_back(name);
  return all;
}

Task stop_machine(vm::Provider& provider, vm::MachineId id, Progress& progress) {
  progress.step(id.name, "powering off");
  auto stopped = co_await provider.stop(id, halt_grace);
  if (!stopped) co_return stopped.error().wrap("{}", id.name);
  progress.done(id.name, "off");
  co_return Result<void>{};
}

Task end_labd(const LabPaths& paths) {
  std::function<Result<void>()> end = [&paths] { return stop_labd(paths); };
  co_return co_await run_blocking(std::move(end));
}

Task destroy_machine(vm::Provider& provider, vm::MachineId id, Progress& progress) {
  progress.step(id.name, "removing");
  auto removed = co_await provider.destroy(id);
  if (!removed) co_return removed.error().wrap("{}", id.name);
  progress.done(id.name, "removed");
  co_return Result<void>{};
}

}  // namespace

Result<LabView> view_lab(const fs::path& labfile) {
  LabView view;
  LAB_TRY(view.labfile, load_labfile(labfile));
  view.paths = lab_paths(cache_root(), view.labfile.name, view.labfile.path);
  auto state = load_state(view.paths);
  if (state) {
    view.state = std::move(*state);
  } else if (state.error().code != Code::not_found) {
    return state.error();
  }
  return view;
}

Result<LabView> view_existing_lab(const fs::path& labfile) {
  LAB_TRY(LabView view, view_lab(labfile));
  if (!view.state) {
    return make_error(Code::not_found, "the lab \"{}\" is not up: `lab up` makes it",
                      view.labfile.name);
  }
  return view;
}

fs::path machine_directory(const LabPaths& paths, const std::string& machine) {
  return paths.directory / "machines" / machine;
}

LabStatus lab_status(const LabView& lab) {
  LabStatus status;
  status.name = lab.labfile.name;
  status.id = lab_id(lab.labfile.name, lab.labfile.path);
  status.directory = lab.paths.directory;
  LabState state = lab.state.value_or(LabState{});
  status.mirror_port = state.mirror_port;
  status.labd_pid = labd_process(lab.paths).value_or(0);
  std::map<std::string, pid_t> processes = machine_processes(state);
  auto add = [&](const std::string& name, std::string address, std::string_view role) {
    MachineStatus machine;
    machine.name = name;
    machine.address = std::move(address);
    machine.role = role;
    machine.pid = processes[name];
    machine.running = machine.pid != 0;
    machine.suspended = !machine.running && is_suspended(lab.paths, name);
    machine.directory = machine_directory(lab.paths, name);
    if (auto found = state.machines.find(name); found != state.machines.end())
      machine.ssh_port = found->second.ssh_port;
    status.machines.push_back(std::move(machine));
  };
  for (const MachineConfig& machine : lab.labfile.machines)
    add(machine.name, machine.address, to_string(machine.role));
  for (const auto& [name, ports] : state.machines)
    if (lab.labfile.find(name) == nullptr) add(name, "", "not in the labfile");
  return status;
}

namespace {

// Absent when the hypervisor does not answer: whoever needs the machine will find out.
vm::MachineState ask_for_state(const LabView& lab, const std::string& machine) {
  const auto provider = vm::make_libvirt_provider(lab.labfile.libvirt_uri);
  Result<vm::MachineState> state = vm::MachineState::absent;
  asio::io_context loop;
  asio::co_spawn(loop, provider->state({lab.state->id, machine}),
                 [&state](const std::exception_ptr& bug, Result<vm::MachineState> answer) {
                   if (bug) std::rethrow_exception(bug);
                   state = std::move(answer);
                 });
  loop.run();
  return state ? *state : vm::MachineState::absent;
}

}  // namespace

Result<void> check_running(const LabView& lab, const std::string& machine) {
  LAB_TRY(const SshTarget target, ssh_target(lab.paths, lab.state.value_or(LabState{}), machine));
  // Its emulator holds the port; nobody else is asked.
  if (port_is_free(Transport::tcp, target.port)) {
    if (is_suspended(lab.paths, machine))
      return make_error(Code::unavailable, "{} is suspended: `lab resume` lets it go on", machine);
    return make_error(Code::unavailable, "{0} is not running: `lab up {0}` starts it", machine);
  }
  const vm::MachineState state = ask_for_state(lab, machine);
  if (state == vm::MachineState::unfinished)
    return make_error(Code::unavailable,
                      "{0} was not started to its end: `lab up {0}` starts it anew", machine);
  if (state != vm::MachineState::paused) return {};
  if (left_frozen(lab.paths)) {
    return make_error(Code::unavailable,
                      "{} is paused while the lab is saved or brought back: try again when that "
                      "is done; if it was interrupted, `lab up` lets all machines go on",
                      machine);
  }
  return make_error(Code::unavailable, "{0} is paused: `lab up {0}` lets it go on", machine);
}

Result<SshSession> connect_machine(const LabView& lab, const std::string& machine,
                                   std::chrono::milliseconds timeout) {
  LAB_CHECK(check_running(lab, machine));
  LAB_TRY(SshTarget target, ssh_target(lab.paths, *lab.state, machine));
  auto session = SshSession::connect(target, timeout);
  if (!session && session.error().code == Code::unavailable)
    return make_error(Code::unavailable, "{} (`lab status` shows what runs, `lab up` repairs)",
                      session.error().message);
  return session;
}

asio::awaitable<Result<void>> halt_lab(LabView lab, std::vector<std::string> machines,
                                       Progress& progress) {
  LAB_CO_TRY(Fd lock, lock_lab(lab.paths));
  LAB_CO_TRY(std::vector<std::string> names, chosen(lab, machines));
  auto provider = vm::make_libvirt_provider(lab.labfile.libvirt_uri);
  std::vector<Task> tasks;
  for (const std::string& name : names)
    tasks.push_back(stop_machine(*provider, vm::MachineId{lab.state->id, name}, progress));
  auto results = co_await run_all(std::move(tasks));
  LAB_CO_CHECK(joined_errors(results));
  if (machines.empty()) LAB_CO_CHECK(stop_labd(lab.paths));
  co_return Result<void>{};
}

asio::awaitable<Result<void>> destroy_lab(LabView lab, std::vector<std::string> machines,
                                          Progress& progress) {
  // An empty folder is made for the lock when there is none; it goes with the rest.
  LAB_CO_TRY(Fd lock, lock_lab(lab.paths));
  std::string id = lab_id(lab.labfile.name, lab.labfile.path);
  auto provider = vm::make_libvirt_provider(lab.labfile.libvirt_uri);
  LAB_CO_TRY(std::vector<vm::MachineInfo> known, co_await provider->list(id));
  auto wanted = [&machines](const std::string& name) {
    return machines.empty() || std::find(machines.begin(), machines.end(), name) != machines.end();
  };
  std::vector<Task> tasks;
  for (const vm::MachineInfo& info : known)
    if (wanted(info.id.name)) tasks.push_back(destroy_machine(*provider, info.id, progress));
  if (machines.empty()) tasks.push_back(end_labd(lab.paths));
  auto results = co_await run_all(std::move(tasks));
  LAB_CO_CHECK(joined_errors(results));
  if (machines.empty()) {
    std::error_code error;
    fs::remove_all(lab.paths.directory, error);
    if (error)
      co_return make_error(Code::internal, "removing {}: {}", lab.paths.directory.string(),
                           error.message());
    // Only when it holds no other lab.
    fs::remove(lab.paths.directory.parent_path(), error);
    co_return Result<void>{};
  }
  for (const std::string& name : machines) forget_suspended(lab.paths, name);
  if (lab.state) {
    for (const std::string& name : machines) lab.state->machines.erase(name);
    LAB_CO_CHECK(save_state(lab.paths, *lab.state));
  }
  co_return Result<void>{};
}

}  // namespace lab::provision
