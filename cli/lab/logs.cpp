#include <fmt/core.h>

#include "base/subprocess.hpp"
#include "cli/lab/common.hpp"
#include "cli/lab/verbs.hpp"

namespace lab::cli {

namespace {

struct Options {
  std::string machine;
  std::vector<std::string> units{"engined", "swarmd"};
  int lines = 200;
  bool follow = false;
};

void show(const Globals& globals, const Options& options) {
  auto lab = value_or_fail(provision::view_existing_lab(globals.labfile));
  std::string count = std::to_string(options.lines);
  if (options.machine.empty()) {
    std::vector<std::string> argv{"tail", "-n", count, "--", lab.paths.labd_log().string()};
    if (options.follow) argv.insert(argv.begin() + 1, "-F");
    become(argv);
  }
  require_running(lab, options.machine);
  std::vector<std::string> journal{"journalctl",        "--no-pager", "-o",
                                   "short-iso-precise", "-n",         count};
  for (const std::string& unit : options.units) journal.insert(journal.end(), {"-u", unit});
  if (options.follow) journal.emplace_back("-f");
  auto argv = openssh("ssh", lab);
  argv.insert(argv.end(), {options.machine, shell_quote(journal)});
  become(argv);
}

}  // namespace

void add_logs(CLI::App& app, Globals& globals) {
  CLI::App* verb = app.add_subcommand(
      "logs", "Logs of a machine's engine and swarm agent; without a machine, labd's");
  auto options = std::make_shared<Options>();
  verb->add_option("machine", options->machine, "The machine");
  verb->add_option("-u,--unit", options->units, "systemd units")->capture_default_str();
  verb->add_option("-n,--lines", options->lines, "At most so many lines")
      ->check(CLI::Range(0, 10'000'000))
      ->capture_default_str();
  verb->add_flag("-f,--follow", options->follow, "Go on as they grow");
  verb->callback([options, &globals] { show(globals, *options); });
}

}  // namespace lab::cli
