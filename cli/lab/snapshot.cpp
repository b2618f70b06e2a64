// lab snapshot: the whole lab, kept under a name.
#include "provision/lab/snapshot.hpp"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <boost/json/serialize.hpp>

#include "cli/lab/common.hpp"
#include "cli/lab/progress.hpp"
#include "cli/lab/verbs.hpp"

namespace lab::cli {

namespace json = boost::json;

namespace {

void save(const Globals& globals, const std::string& name) {
  auto lab = value_or_fail(provision::view_existing_lab(globals.labfile));
  SystemClock clock;
  ProgressDisplay progress(clock);
  auto result =
      run_interruptible([&] { return provision::save_snapshot(lab, name, clock, progress); });
  progress.finish();
  check_or_fail(result);
}

void restore(const Globals& globals, const std::string& name) {
  auto lab = value_or_fail(provision::view_existing_lab(globals.labfile));
  SystemClock clock;
  ProgressDisplay progress(clock);
  auto result = run_interruptible(
      [&] { return provision::restore_snapshot(lab, name, program_folder(), clock, progress); });
  progress.finish();
  check_or_fail(result);
}

void list(const Globals& globals) {
  auto lab = value_or_fail(provision::view_existing_lab(globals.labfile));
  const auto snapshots = provision::list_snapshots(lab);
  if (globals.json) {
    json::array all;
    for (const auto& snapshot : snapshots) {
      all.push_back(json::object{
          {"name", snapshot.name},
          {"created", snapshot.created},
          {"machines", json::array(snapshot.machines.begin(), snapshot.machines.end())},
          {"bytes", snapshot.bytes}});
    }
    fmt::print("{}\n", json::serialize(json::object{{"snapshots", std::move(all)}}));
    return;
  }
  std::vector<std::vector<std::string>> rows{{"SNAPSHOT", "CREATED", "SIZE", "MACHINES"}};
  for (const auto& snapshot : snapshots) {
    rows.push_back({snapshot.name, snapshot.created.substr(0, 19) + "Z",
                    human_bytes(static_cast<std::int64_t>(snapshot.bytes)),
                    fmt::format("{}", fmt::join(snapshot.machines, " "))});
  }
  print_table(rows);
}

// Times and sizes of files say a person little: changed is enough.
std::string words_of(const provision::Change& change) {
  if (change.before.empty()) return "added";
  if (change.after.empty()) return "removed";
  if (change.kind == "file") return "changed";
  return fmt::format("{} -> {}", change.before, change.after);
}

void diff(const Globals& globals, const std::string& before, const std::string& after) {
  auto lab = value_or_fail(provision::view_existing_lab(globals.labfile));
  SystemClock clock;
  std::vector<provision::Change> changes;
  check_or_fail(run_interruptible([&]() -> boost::asio::awaitable<Result<void>> {
    auto found = co_await provision::diff_snapshots(lab, before, after, clock);
    if (!found) co_return found.error();
    changes = std::move(*found);
    co_return Result<void>{};
  }));
  json::array all;
  std::vector<std::vector<std::string>> rows;
  for (const auto& change : changes) {
    all.push_back(json::object{{"where", change.where},
                               {"kind", change.kind},
                               {"name", change.name},
                               {"before", change.before},
                               {"after", change.after}});
    rows.push_back({change.where, change.kind, change.name, words_of(change)});
  }
  if (globals.json) {
    fmt::print("{}\n", json::serialize(json::object{{"changes", std::move(all)}}));
  } else if (rows.empty()) {
    fmt::print("nothing has changed\n");
  } else {
    print_table(rows);
  }
}

}  // namespace

void add_snapshot(CLI::App& app, Globals& globals) {
  CLI::App* snapshot =
      app.add_subcommand("snapshot", "Keep the whole lab as it is, and come back to it");
  snapshot->require_subcommand(1);
  snapshot->fallthrough();
  auto name = std::make_shared<std::string>();
  const auto add_named = [&](const char* word, const char* help) {
    CLI::App* verb = snapshot->add_subcommand(word, help);
    verb->add_option("name", *name, "The snapshot")->required();
    return verb;
  };
  add_named("save", "Keep all machines that run, memory and disks, as they are at one instant")
      ->callback([&globals, name] { save(globals, *name); });
  add_named("restore", "The lab as it was; what it is now is lost")->callback([&globals, name] {
    restore(globals, *name);
  });
  add_named("rm", "Remove a snapshot")->callback([&globals, name] {
    check_or_fail(provision::remove_snapshot(
        value_or_fail(provision::view_existing_lab(globals.labfile)), *name));
  });
  snapshot->add_subcommand("ls", "The lab's snapshots")->callback([&globals] { list(globals); });
  CLI::App* diff_verb =
      add_named("diff", "Which nodes, services, containers and files have changed since");
  auto after = std::make_shared<std::string>();
  diff_verb->add_option("after", *after, "Until this snapshot; without it, until now");
  diff_verb->callback([&globals, name, after] { diff(globals, *name, *after); });
}

}  // namespace lab::cli
