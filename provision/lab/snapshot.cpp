#include "provision/lab/snapshot.hpp"

#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/json.hpp>

#include "base/blocking.hpp"
#include "provision/lab/daemon.hpp"
#include "provision/lab/frozen.hpp"
#include "provision/lab/keys.hpp"
#include "provision/lab/state.hpp"
#include "provision/lab/suspend.hpp"
#include "vm/machine_files.hpp"

namespace lab::provision {

namespace fs = std::filesystem;
namespace asio = boost::asio;
namespace json = boost::json;

namespace {

constexpr std::size_t name_max = 63;
constexpr std::chrono::seconds ready_time(60);

// Below the folder of one snapshot.
struct SnapshotPaths {
  fs::path folder;

  [[nodiscard]] fs::path record() const { return folder / "snapshot.json"; }
  [[nodiscard]] fs::path machine(const std::string& name) const { return folder / name; }
  [[nodiscard]] fs::path state(const std::string& name) const { return folder / name / "state"; }
};

SnapshotPaths snapshot_paths(const LabView& lab, const std::string& name) {
  return {lab.paths.directory / "snapshots" / name};
}

Result<void> check_name(const std::string& name) {
  const auto fits = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
  };
  if (!name.empty() && name.size() <= name_max && name.front() != '.' &&
      std::all_of(name.begin(), name.end(), fits))
    return {};
  return make_error(
      Code::invalid_argument,
      "\"{}\" is no name of a snapshot: lower-case letters, digits, - _ and ., at most "
      "{}, the first not a dot",
      name, name_max);
}

struct Record {
  std::string created;
  std::string emulator;
  std::map<std::string, std::string> sizes;  // machine -> "768 MiB, 1 processor"
  LabFacts facts;
};

std::string size_of(const LabView& lab, const std::string& machine) {
  const MachineConfig* config = lab.labfile.find(machine);
  if (config == nullptr) return "not in the labfile";
  return fmt::format("{} MiB, {} processors", config->memory_mib, config->cpus);
}

Result<void> write_record(const SnapshotPaths& paths, const Record& record) {
  json::object sizes;
  for (const auto& [machine, size] : record.sizes) sizes[machine] = size;
  const json::object object{{"created", record.created},
                            {"emulator", record.emulator},
                            {"machines", std::move(sizes)},
                            {"facts", to_json(record.facts)}};
  return write_file_durably(paths.record(), json::serialize(object), 0600);
}

Result<Record> read_record(const LabView& lab, const std::string& name) {
  LAB_CHECK(check_name(name));
  const SnapshotPaths paths = snapshot_paths(lab, name);
  auto text = read_file(paths.record());
  if (!text)
    return make_error(Code::not_found, "there is no snapshot \"{}\"; `lab snapshot ls` lists them",
                      name);
  boost::system::error_code failure;
  const json::value value = json::parse(*text, failure);
  if (failure || !value.is_object())
    return make_error(Code::internal, "{} does not parse", paths.record().string());
  Record record;
  for (const auto& [key, field] : value.get_object()) {
    if (key == "created" && field.is_string()) record.created = field.get_string();
    if (key == "emulator" && field.is_string()) record.emulator = field.get_string();
    if (key == "facts" && field.is_object()) record.facts = facts_from_json(field.get_object());
    if (key != "machines" || !field.is_object()) continue;
    for (const auto& [machine, size] : field.get_object())
      if (size.is_string()) record.sizes[std::string(machine)] = std::string(size.get_string());
  }
  return record;
}

std::uint64_t bytes_below(const fs::path& folder) {
  std::uint64_t bytes = 0;
  std::error_code error;
  for (fs::recursive_directory_iterator at(folder, error), end; !error && at != end;
       at.increment(error)) {
    struct stat status {};
    if (stat(at->path().c_str(), &status) == 0 && status.st_nlink == 1)
      bytes += static_cast<std::uint64_t>(status.st_blocks) * 512;
  }
  return bytes;
}

std::vector<std::string> running_machines(const LabView& lab) {
  std::vector<std::string> running;
  for (const auto& [name, process] : machine_processes(*lab.state))
    if (process != 0) running.push_back(name);
  return running;
}

asio::awaitable<Result<LabFacts>> facts_now(Frozen& frozen) {
  LAB_CO_CHECK(co_await frozen.reach());
  std::function<Result<LabFacts>()> work = [&frozen] { return collect_facts(frozen.nodes()); };
  co_return co_await run_blocking(std::move(work));
}

// The machines are paused.
Task keep_disk_of(const LabView& lab, SnapshotPaths paths, std::string machine) {
  std::function<Result<void>()> work = [&lab, &paths, &machine] {
    return vm::keep_disk(machine_directory(lab.paths, machine), paths.machine(machine));
  };
  co_return co_await run_blocking(std::move(work));
}

// The machines are off.
Task put_disk_back_of(const LabView& lab, SnapshotPaths paths, std::string machine) {
  std::function<Result<void>()> work = [&lab, &paths, &machine] {
    forget_suspended(lab.paths, machine);
    return vm::put_disk_back(paths.machine(machine), machine_directory(lab.paths, machine));
  };
  co_return co_await run_blocking(std::move(work));
}

Task all_disks(Task (*one)(const LabView&, SnapshotPaths, std::string), const LabView& lab,
               SnapshotPaths paths, std::vector<std::string> machines) {
  std::vector<Task> tasks;
  for (const std::string& machine : machines) tasks.push_back(one(lab, paths, machine));
  const auto results = co_await run_all(std::move(tasks));
  co_return joined_errors(results);
}

Result<void> make_folders(const SnapshotPaths& paths, const std::vector<std::string>& machines) {
  std::error_code ignored;
  fs::remove_all(paths.folder, ignored);
  for (const std::string& machine : machines)
    LAB_CHECK(make_directories(paths.machine(machine), 0700));
  return {};
}

Frozen::StateFile state_files(const SnapshotPaths& paths) {
  return [paths](const std::string& machine) { return paths.state(machine); };
}

// Everything between the pause and the going on.
Task save_frozen(Frozen& frozen, const LabView& lab, SnapshotPaths paths,
                 std::vector<std::string> machines) {
  Frozen::StateFile files = state_files(paths);
  LAB_CO_CHECK(co_await frozen.save(std::move(files)));
  co_return co_await all_disks(keep_disk_of, lab, std::move(paths), std::move(machines));
}

Task start_frozen(Frozen& frozen, const LabView& lab, SnapshotPaths paths,
                  std::vector<std::string> machines) {
  Frozen::StateFile files = state_files(paths);
  LAB_CO_CHECK(co_await frozen.stop());
  LAB_CO_CHECK(co_await all_disks(put_disk_back_of, lab, std::move(paths), std::move(machines)));
  LAB_CO_CHECK(co_await frozen.start(std::move(files)));
  co_return co_await frozen.go_on(true);
}

Result<void> check_sizes(const LabView& lab, const Record& record, const std::string& name) {
  for (const auto& [machine, size] : record.sizes) {
    if (size_of(lab, machine) == size) continue;
    return make_error(Code::unsupported,
                      "snapshot {} has {} with {}, now it is {}; a saved memory fits only the same "
                      "size: change the labfile back",
                      name, machine, size, size_of(lab, machine));
  }
  return {};
}

bool is_ready(const std::string& node) { return node.starts_with("ready"); }

// Asks a manager until every node that was ready is ready.
Result<void> wait_until_ready(std::map<std::string, Node>& nodes, const LabFacts& before,
                              const Clock& clock) {
  const TimePoint deadline = clock.now() + ready_time;
  std::string missing;
  do {
    for (auto& [name, node] : nodes) {
      LAB_TRY(const Described now, swarm_nodes(node));
      if (now.empty()) continue;
      missing.clear();
      for (const auto& [host, words] : before.nodes) {
        const auto found = now.find(host);
        if (is_ready(words) && (found == now.end() || !is_ready(found->second)))
          missing += fmt::format("{}{}", missing.empty() ? "" : ", ", host);
      }
      if (missing.empty()) return {};
    }
  } while (clock.now() < deadline);
  return make_error(Code::deadline_exceeded,
                    "the machines run, but not Ready in the swarm after {} s: {}",
                    ready_time.count(), missing.empty() ? "no manager answers" : missing);
}

}  // namespace

std::vector<SnapshotInfo> list_snapshots(const LabView& lab) {
  std::vector<SnapshotInfo> snapshots;
  std::error_code error;
  for (fs::directory_iterator at(lab.paths.directory / "snapshots", error), end;
       !error && at != end; at.increment(error)) {
    const std::string name = at->path().filename();
    const Result<Record> record = read_record(lab, name);
    if (!record) continue;
    SnapshotInfo info{name, record->created, {}, bytes_below(at->path())};
    for (const auto& [machine, size] : record->sizes) info.machines.push_back(machine);
    snapshots.push_back(std::move(info));
  }
  std::sort(snapshots.begin(), snapshots.end(), [](const auto& a, const auto& b) {
    return std::tie(a.created, a.name) < std::tie(b.created, b.name);
  });
  return snapshots;
}

asio::awaitable<Result<void>> save_snapshot(LabView lab, std::string name, const Clock& clock,
                                            Progress& progress) {
  LAB_CO_CHECK(check_name(name));
  LAB_CO_TRY(const Fd lock, lock_lab(lab.paths));
  const SnapshotPaths target = snapshot_paths(lab, name);
  std::error_code error;
  if (fs::exists(target.record(), error))
    co_return make_error(Code::conflict,
                         "there is a snapshot \"{0}\" already; `lab snapshot rm {0}` removes it",
                         name);
  const std::vector<std::string> machines = running_machines(lab);
  if (machines.empty())
    co_return make_error(Code::unavailable, "no machine of this lab runs: `lab up` first");
  const auto provider = vm::make_libvirt_provider(lab.labfile.libvirt_uri);
  Record record;
  LAB_CO_TRY(record.emulator, co_await provider->emulator());
  for (const std::string& machine : machines) record.sizes[machine] = size_of(lab, machine);
  progress.step("lab", "looking at what is there");
  Frozen frozen(*provider, lab, machines, clock);
  LAB_CO_TRY(record.facts, co_await facts_now(frozen));
  const SnapshotPaths unfinished = snapshot_paths(lab, "." + name);
  LAB_CO_CHECK(make_folders(unfinished, machines));
  progress.step("lab", "saving");
  record.created = format_rfc3339(clock.wall_now());
  Result<void> saved = co_await save_frozen(frozen, lab, unfinished, machines);
  const Result<void> on = co_await frozen.go_on(false);
  if (saved) saved = write_record(unfinished, record);
  if (saved && rename(unfinished.folder.c_str(), target.folder.c_str()) != 0)
    saved = errno_error(errno, "renaming " + unfinished.folder.string());
  if (!saved) fs::remove_all(unfinished.folder, error);
  LAB_CO_CHECK(saved);
  LAB_CO_CHECK(on);
  progress.done("lab", "saved");
  co_return Result<void>{};
}

asio::awaitable<Result<void>> restore_snapshot(LabView lab, std::string name, fs::path programs,
                                               const Clock& clock, Progress& progress) {
  LAB_CO_TRY(const Fd lock, lock_lab(lab.paths));
  LAB_CO_TRY(const Record record, read_record(lab, name));
  LAB_CO_CHECK(check_sizes(lab, record, name));
  const auto provider = vm::make_libvirt_provider(lab.labfile.libvirt_uri);
  LAB_CO_TRY(const std::string emulator, co_await provider->emulator());
  if (emulator != record.emulator)
    co_return make_error(Code::unsupported,
                         "snapshot {} was saved on another emulator or processor ({}, now {})",
                         name, record.emulator, emulator);
  std::vector<std::string> machines;
  for (const auto& [machine, size] : record.sizes) {
    machines.push_back(machine);
    vm::MachineId id{lab.state->id, machine};
    LAB_CO_TRY(const vm::MachineState state, co_await provider->state(std::move(id)));
    if (state == vm::MachineState::absent)
      co_return make_error(Code::not_found,
                           "{} was destroyed; `lab up {}` makes it again, then "
                           "restore",
                           machine, machine);
  }
  const std::string config = labd_config(lab.paths, lab.labfile, *lab.state, cache_root());
  LAB_CO_CHECK(ensure_labd(lab.paths, config, programs / "labd"));
  progress.step("lab", "restoring");
  Frozen frozen(*provider, lab, machines, clock);
  SnapshotPaths paths = snapshot_paths(lab, name);
  Result<void> started = co_await start_frozen(frozen, lab, std::move(paths), machines);
  if (!started) {
    const Result<void> stopped = co_await frozen.stop();
    if (!stopped) progress.notice(stopped.error().message);
    const Result<void> network = resume_network(lab.paths, true);
    if (!network) progress.notice(network.error().message);
    co_return started.error().wrap("the machines are off, `lab up` boots them");
  }
  if (!record.facts.nodes.empty()) {
    progress.step("lab", "waiting for the swarm's nodes");
    std::function<Result<void>()> wait = [&] {
      return wait_until_ready(frozen.nodes(), record.facts, clock);
    };
    LAB_CO_CHECK(co_await run_blocking(std::move(wait)));
  }
  progress.done("lab", "restored");
  co_return Result<void>{};
}

Result<void> remove_snapshot(const LabView& lab, const std::string& name) {
  LAB_TRY(const Fd lock, lock_lab(lab.paths));
  LAB_CHECK(read_record(lab, name));
  std::error_code error;
  // Without its record it is none, whatever happens to the rest.
  fs::remove(snapshot_paths(lab, name).record(), error);
  fs::remove_all(snapshot_paths(lab, name).folder, error);
  if (error)
    return make_error(Code::internal, "removing {}: {}", snapshot_paths(lab, name).folder.string(),
                      error.message());
  return {};
}

asio::awaitable<Result<std::vector<Change>>> diff_snapshots(LabView lab, std::string before,
                                                            std::string after, const Clock& clock) {
  LAB_CO_TRY(const Record first, read_record(lab, before));
  if (!after.empty()) {
    LAB_CO_TRY(const Record second, read_record(lab, after));
    co_return compare(first.facts, second.facts);
  }
  const auto provider = vm::make_libvirt_provider(lab.labfile.libvirt_uri);
  Frozen frozen(*provider, lab, running_machines(lab), clock);
  LAB_CO_TRY(const LabFacts now, co_await facts_now(frozen));
  co_return compare(first.facts, now);
}

}  // namespace lab::provision
