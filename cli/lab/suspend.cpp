#include "provision/lab/suspend.hpp"

#include "cli/lab/common.hpp"
#include "cli/lab/progress.hpp"
#include "cli/lab/verbs.hpp"

namespace lab::cli {

void add_suspend(CLI::App& app, Globals& globals) {
  CLI::App* verb = app.add_subcommand(
      "suspend", "Put all machines to disk as they are; `lab resume` or `lab up` go on from there");
  verb->callback([&globals] {
    auto lab = value_or_fail(provision::view_existing_lab(globals.labfile));
    SystemClock clock;
    ProgressDisplay progress(clock);
    auto result = run_interruptible([&] { return provision::suspend_lab(lab, clock, progress); });
    progress.finish();
    check_or_fail(result);
  });
}

void add_resume(CLI::App& app, Globals& globals) {
  CLI::App* verb = app.add_subcommand("resume", "Go on with suspended machines");
  verb->callback([&globals] {
    auto lab = value_or_fail(provision::view_existing_lab(globals.labfile));
    SystemClock clock;
    ProgressDisplay progress(clock);
    auto result = run_interruptible(
        [&] { return provision::resume_lab(lab, program_folder(), clock, progress); });
    progress.finish();
    check_or_fail(result);
  });
}

}  // namespace lab::cli
