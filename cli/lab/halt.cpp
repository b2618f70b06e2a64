#include <fmt/core.h>

#include "cli/lab/common.hpp"
#include "cli/lab/progress.hpp"
#include "cli/lab/verbs.hpp"

namespace lab::cli {

void add_halt(CLI::App& app, Globals& globals) {
  CLI::App* verb = app.add_subcommand("halt", "Power machines off; `lab up` starts them again");
  auto machines = std::make_shared<std::vector<std::string>>();
  verb->add_option("machine", *machines, "Only these machines");
  verb->callback([machines, &globals] {
    auto lab = value_or_fail(provision::view_existing_lab(globals.labfile));
    SystemClock clock;
    ProgressDisplay progress(clock);
    auto result = run_interruptible([&] { return provision::halt_lab(lab, *machines, progress); });
    progress.finish();
    check_or_fail(result);
  });
}

}  // namespace lab::cli
