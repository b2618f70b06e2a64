#include <fmt/core.h>
#include <unistd.h>

#include <boost/json.hpp>
#include <csignal>
#include <cstdio>
#include <optional>
#include <thread>

#include "cli/lab/common.hpp"
#include "cli/lab/progress.hpp"
#include "cli/lab/verbs.hpp"
#include "provision/parallel.hpp"
#include "provision/sync/sync.hpp"
#include "provision/sync/watch.hpp"

namespace lab::cli {

namespace json = boost::json;
using provision::MachineConfig;
using provision::SyncConfig;
using provision::SyncOutcome;

namespace {

constexpr std::chrono::seconds connect_timeout{30};

// A machine whose folders are copied, with a session that is kept from one pass to the next.
struct Target {
  const MachineConfig* machine = nullptr;
  std::optional<provision::SshSession> session;
  Result<std::vector<SyncOutcome>> result;
};

Result<std::vector<SyncOutcome>> sync_over(const provision::LabView& lab, Target& target,
                                           const Clock& clock) {
  if (!target.session) {
    LAB_TRY(target.session, provision::connect_machine(lab, target.machine->name, connect_timeout));
  }
  auto result = provision::sync_machine(*target.session, lab.paths, *target.machine, clock);
  if (!result) target.session.reset();
  return result;
}

// A session that was kept may be of a machine that was started anew since.
Result<std::vector<SyncOutcome>> sync_one(const provision::LabView& lab, Target& target,
                                          const Clock& clock) {
  const bool kept = target.session.has_value();
  auto result = sync_over(lab, target, clock);
  return !result && kept ? sync_over(lab, target, clock) : std::move(result);
}

std::string words_of(const std::vector<SyncOutcome>& outcomes) {
  std::string text;
  for (const SyncOutcome& outcome : outcomes) text += (text.empty() ? "" : "; ") + outcome.words();
  return text;
}

void print_json(const std::vector<Target*>& targets) {
  json::array machines;
  for (const Target* target : targets) {
    if (!target->result) continue;
    json::array folders;
    for (const SyncOutcome& outcome : *target->result) {
      json::object folder{{"to", outcome.to},
                          {"copied", outcome.copied},
                          {"adjusted", outcome.adjusted},
                          {"removed", outcome.removed},
                          {"bytes", outcome.bytes}};
      folders.push_back(std::move(folder));
    }
    json::object machine{{"name", target->machine->name}, {"folders", std::move(folders)}};
    machines.push_back(std::move(machine));
  }
  fmt::print("{}\n", json::serialize(json::object{{"machines", std::move(machines)}}));
  std::fflush(stdout);
}

class Syncer {
 public:
  Syncer(provision::LabView lab, const std::vector<std::string>& names, bool as_json)
      : lab_(std::move(lab)), as_json_(as_json) {
    for (const std::string& name : names) targets_.push_back({lab_.labfile.find(name), {}, {}});
  }

  Result<void> all() {
    ProgressDisplay progress(clock_);
    std::vector<Target*> every;
    for (Target& target : targets_) {
      every.push_back(&target);
      progress.step(target.machine->name, "copying its shared folders");
    }
    const Result<void> done = pass(every);
    for (const Target* target : every)
      progress.done(target->machine->name, target->result ? words_of(*target->result) : "failed");
    progress.finish();
    if (as_json_) print_json(every);
    return done;
  }

  // Until a folder or the lab is gone.
  Result<void> watch() {
    std::vector<SyncConfig> folders;
    for (const Target& target : targets_)
      for (const SyncConfig& folder : target.machine->sync)
        if (std::find(folders.begin(), folders.end(), folder) == folders.end())
          folders.push_back(folder);
    LAB_TRY(provision::FolderWatch watch, provision::FolderWatch::open(folders, clock_));
    // From here on nothing is missed.
    LAB_CHECK(all());
    fmt::print(stderr, "watching; Ctrl-C ends\n");
    for (;;) {
      LAB_TRY(const std::set<std::size_t> changed, watch.wait());
      if (!provision::load_state(lab_.paths))
        return make_error(Code::not_found, "the lab {} is gone: nothing left to watch for",
                          lab_.labfile.name);
      std::vector<Target*> concerned;
      for (Target& target : targets_) {
        const auto& own = target.machine->sync;
        if (std::any_of(changed.begin(), changed.end(), [&](std::size_t i) {
              return std::find(own.begin(), own.end(), folders[i]) != own.end();
            }))
          concerned.push_back(&target);
      }
      again(concerned);
    }
  }

 private:
  // The machines beside each other.
  Result<void> pass(const std::vector<Target*>& targets) {
    {
      std::vector<std::jthread> threads;
      for (Target* target : targets)
        threads.emplace_back([this, target] { target->result = sync_one(lab_, *target, clock_); });
    }
    std::vector<Result<void>> results;
    for (const Target* target : targets)
      results.push_back(target->result ? Result<void>{} : target->result.error());
    return provision::joined_errors(results);
  }

  // What fails is said, and tried again with the next change.
  void again(const std::vector<Target*>& targets) {
    (void)pass(targets);
    for (const Target* target : targets) {
      if (!target->result) {
        fmt::print(stderr, "lab: {}\n", target->result.error().message);
      } else if (!as_json_) {
        for (const SyncOutcome& outcome : *target->result)
          if (outcome.changed()) fmt::print("{}: {}\n", target->machine->name, outcome.words());
      }
    }
    if (as_json_) print_json(targets);
    std::fflush(stdout);
  }

  provision::LabView lab_;
  bool as_json_;
  SystemClock clock_;
  std::vector<Target> targets_;
};

// Those named, which must have folders and run; else all that do.
std::vector<std::string> chosen(const provision::LabView& lab, std::vector<std::string> names) {
  for (const std::string& name : names) {
    require_running(lab, name);
    const MachineConfig* machine = lab.labfile.find(name);
    if (machine == nullptr || machine->sync.empty())
      fail(make_error(Code::not_found,
                      "{} has no shared folder: add sync = [{{ from = \".\", to = \"/vagrant\" }}] "
                      "to [machines.{}] in the labfile",
                      name, name));
  }
  if (!names.empty()) return names;
  bool any = false;
  for (const provision::MachineStatus& status : provision::lab_status(lab).machines) {
    const MachineConfig* machine = lab.labfile.find(status.name);
    if (machine == nullptr || machine->sync.empty()) continue;
    any = true;
    if (status.running) names.push_back(status.name);
  }
  if (!any)
    fail(make_error(Code::not_found,
                    "no machine has a shared folder: add sync = [{{ from = \".\", to = "
                    "\"/vagrant\" }}] to [defaults] in the labfile"));
  if (names.empty())
    fail(make_error(Code::unavailable, "no machine with a shared folder runs: `lab up` starts it"));
  return names;
}

}  // namespace

void add_sync(CLI::App& app, Globals& globals) {
  CLI::App* verb = app.add_subcommand(
      "sync", "Copy the labfile's shared folders to the machines: what has changed since");
  auto names = std::make_shared<std::vector<std::string>>();
  auto watch = std::make_shared<bool>(false);
  verb->add_option("machine", *names, "Only these machines");
  verb->add_flag("-w,--watch", *watch, "Go on, with every change, until Ctrl-C");
  verb->callback([names, watch, &globals] {
    auto lab = value_or_fail(provision::view_existing_lab(globals.labfile));
    const std::vector<std::string> machines = chosen(lab, *names);
    Syncer syncer(std::move(lab), machines, globals.json);
    if (!*watch) return check_or_fail(syncer.all());
    // A sync may be interrupted at any instant.
    const auto end = [](int) { _exit(0); };
    std::signal(SIGINT, end);
    std::signal(SIGTERM, end);
    check_or_fail(syncer.watch());
  });
}

}  // namespace lab::cli
