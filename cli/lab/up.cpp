#include <fmt/core.h>

#include <cstdio>

#include "cli/lab/common.hpp"
#include "cli/lab/progress.hpp"
#include "cli/lab/verbs.hpp"

namespace lab::cli {

void add_up(CLI::App& app, Globals& globals) {
  CLI::App* verb = app.add_subcommand("up", "Make the lab, or repair it: whatever is missing");
  auto options = std::make_shared<provision::UpOptions>();
  verb->add_option("machine", options->machines, "Only these machines");
  verb->add_flag("--cold", options->cold,
                 "Boot new machines instead of starting them from a template");
  verb->callback([options, &globals] {
    SystemClock clock;
    TimePoint begin = clock.now();
    auto labfile = value_or_fail(provision::load_labfile(globals.labfile));
    std::string name = labfile.name;
    options->programs = program_folder();
    ProgressDisplay progress(clock);
    bool changed = false;
    auto result = run_interruptible([&]() -> boost::asio::awaitable<Result<void>> {
      auto up = co_await provision::bring_up(labfile, *options, clock, progress);
      if (!up) co_return up.error();
      changed = *up;
      co_return Result<void>{};
    });
    progress.finish();
    check_or_fail(result);
    double seconds = std::chrono::duration<double>(clock.now() - begin).count();
    if (globals.json) {
      fmt::print("{{\"lab\":\"{}\",\"changed\":{},\"seconds\":{:.3f}}}\n", name, changed, seconds);
    } else if (changed) {
      fmt::print("{} is up ({:.1f} s)\n", name, seconds);
    } else {
      fmt::print("{} is up to date ({:.1f} s)\n", name, seconds);
    }
  });
}

}  // namespace lab::cli
