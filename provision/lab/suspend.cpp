#include "provision/lab/suspend.hpp"

#include "provision/lab/daemon.hpp"
#include "provision/lab/frozen.hpp"
#include "provision/lab/state.hpp"

namespace lab::provision {

namespace fs = std::filesystem;
namespace asio = boost::asio;

namespace {

fs::path state_folder(const LabPaths& paths) { return paths.directory / "suspended"; }

Frozen::StateFile state_files(const LabPaths& paths, const char* suffix = "") {
  return [folder = state_folder(paths), suffix](const std::string& machine) {
    return folder / (machine + suffix);
  };
}

// An unfinished state has another name.
constexpr const char* unfinished = ".new";

Result<void> finish_states(const LabPaths& paths, const std::vector<std::string>& machines) {
  for (const std::string& machine : machines) {
    const fs::path file = state_folder(paths) / machine;
    if (rename((file.string() + unfinished).c_str(), file.c_str()) != 0)
      return errno_error(errno, "renaming " + file.string());
  }
  return {};
}

std::vector<std::string> suspended(const LabView& lab, const std::vector<std::string>& machines) {
  std::vector<std::string> names;
  for (const std::string& machine : machines)
    if (is_suspended(lab.paths, machine)) names.push_back(machine);
  return names;
}

void say_all(Progress& progress, const std::vector<std::string>& machines, std::string_view words) {
  for (const std::string& machine : machines) progress.step(machine, words);
}

void all_done(Progress& progress, const std::vector<std::string>& machines,
              std::string_view result) {
  for (const std::string& machine : machines) progress.done(machine, result);
}

}  // namespace

bool is_suspended(const LabPaths& paths, const std::string& machine) {
  std::error_code error;
  return fs::exists(state_folder(paths) / machine, error);
}

void forget_suspended(const LabPaths& paths, const std::string& machine) {
  std::error_code ignored;
  for (const char* suffix : {"", unfinished})
    fs::remove(state_folder(paths) / (machine + suffix), ignored);
}

asio::awaitable<Result<void>> suspend_lab(LabView lab, const Clock& clock, Progress& progress) {
  LAB_CO_TRY(const Fd lock, lock_lab(lab.paths));
  std::vector<std::string> running;
  for (const auto& [name, process] : machine_processes(*lab.state))
    if (process != 0) running.push_back(name);
  if (running.empty())
    co_return make_error(Code::unavailable, "no machine of this lab runs: nothing to suspend");
  LAB_CO_CHECK(make_directories(state_folder(lab.paths), 0700));
  const auto provider = vm::make_libvirt_provider(lab.labfile.libvirt_uri);
  Frozen frozen(*provider, lab, running, clock);
  say_all(progress, running, "suspending");
  Frozen::StateFile files = state_files(lab.paths, unfinished);
  Result<void> saved = co_await frozen.save(std::move(files));
  if (saved) saved = finish_states(lab.paths, running);
  if (saved) saved = co_await frozen.stop();
  if (!saved) {
    for (const std::string& machine : running) forget_suspended(lab.paths, machine);
    const Result<void> again = co_await frozen.go_on(false);
    if (!again) progress.notice(again.error().message);
    co_return saved;
  }
  all_done(progress, running, "suspended");
  co_return saved;
}

asio::awaitable<Result<std::vector<std::string>>> resume_suspended(
    vm::Provider& provider, const LabView& lab, std::vector<std::string> machines,
    const Clock& clock, Progress& progress) {
  const std::vector<std::string> names = suspended(lab, machines);
  if (names.empty()) co_return names;
  say_all(progress, names, "resuming");
  Frozen frozen(provider, lab, names, clock);
  Frozen::StateFile files = state_files(lab.paths);
  Result<void> result = co_await frozen.start(std::move(files));
  // From here on their disks change: the states are worth nothing any more.
  for (const std::string& machine : names) forget_suspended(lab.paths, machine);
  if (result) result = co_await frozen.go_on(false);
  if (result) co_return names;
  const Result<void> stopped = co_await frozen.stop();
  if (!stopped) progress.notice(stopped.error().message);
  const Result<void> network = resume_network(lab.paths, true);
  if (!network) progress.notice(network.error().message);
  co_return result.error();
}

asio::awaitable<Result<void>> resume_lab(LabView lab, fs::path programs, const Clock& clock,
                                         Progress& progress) {
  LAB_CO_TRY(const Fd lock, lock_lab(lab.paths));
  std::vector<std::string> all;
  for (const auto& [name, ports] : lab.state->machines) all.push_back(name);
  if (suspended(lab, all).empty())
    co_return make_error(Code::not_found,
                         "no machine of this lab is suspended; `lab up` starts it");
  const std::string config = labd_config(lab.paths, lab.labfile, *lab.state, cache_root());
  LAB_CO_CHECK(ensure_labd(lab.paths, config, programs / "labd"));
  const auto provider = vm::make_libvirt_provider(lab.labfile.libvirt_uri);
  auto resumed = co_await resume_suspended(*provider, lab, std::move(all), clock, progress);
  if (!resumed) {
    Error error = resumed.error();
    error.message += "\nthe machines are off; `lab up` boots them";
    co_return error;
  }
  all_done(progress, *resumed, "up");
  co_return Result<void>{};
}

}  // namespace lab::provision
