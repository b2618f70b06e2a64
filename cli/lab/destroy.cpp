#include <fmt/core.h>
#include <unistd.h>

#include <cstdio>
#include <iostream>

#include "cli/lab/common.hpp"
#include "cli/lab/progress.hpp"
#include "cli/lab/verbs.hpp"

namespace lab::cli {

namespace {

bool confirmed(const std::string& what) {
  if (isatty(STDIN_FILENO) == 0) {
    fail(make_error(Code::invalid_argument,
                    "there is no terminal to ask at: `lab destroy -y` asks nothing"));
  }
  fmt::print(stderr, "Remove {} with all its disks? [y/N] ", what);
  std::fflush(stderr);
  std::string answer;
  std::getline(std::cin, answer);
  return answer == "y" || answer == "Y" || answer == "yes";
}

}  // namespace

void add_destroy(CLI::App& app, Globals& globals) {
  CLI::App* verb =
      app.add_subcommand("destroy", "Remove the lab: machines, disks, keys, processes");
  auto machines = std::make_shared<std::vector<std::string>>();
  auto yes = std::make_shared<bool>(false);
  verb->add_option("machine", *machines, "Only these machines");
  verb->add_flag("-y,--yes", *yes, "Ask nothing");
  verb->callback([machines, yes, &globals] {
    provision::LabView lab;
    lab.labfile = value_or_fail(provision::load_labfile(globals.labfile));
    lab.paths = provision::lab_paths(provision::cache_root(), lab.labfile.name, lab.labfile.path);
    // A state that does not parse must not keep a lab from being removed.
    if (auto state = provision::load_state(lab.paths)) lab.state = std::move(*state);
    std::string what = "the lab \"" + lab.labfile.name + "\"";
    if (!machines->empty()) what = "the machines named";
    if (!*yes && !confirmed(what)) throw Exit{1};
    SystemClock clock;
    ProgressDisplay progress(clock);
    auto result =
        run_interruptible([&] { return provision::destroy_lab(lab, *machines, progress); });
    progress.finish();
    check_or_fail(result);
  });
}

}  // namespace lab::cli
