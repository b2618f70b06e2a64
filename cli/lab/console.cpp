#include <fmt/core.h>

#include "cli/lab/common.hpp"
#include "cli/lab/verbs.hpp"
#include "provision/lab/keys.hpp"

namespace lab::cli {

void add_console(CLI::App& app, Globals& globals) {
  CLI::App* verb = app.add_subcommand("console", "Show a machine's serial console since its boot");
  auto machine = std::make_shared<std::string>();
  auto follow = std::make_shared<bool>(false);
  verb->add_option("machine", *machine, "The machine")->required();
  verb->add_flag("-f,--follow", *follow, "Go on as it grows");
  verb->callback([machine, follow, &globals] {
    auto lab = value_or_fail(provision::view_existing_lab(globals.labfile));
    value_or_fail(provision::ssh_target(lab.paths, *lab.state, *machine));
    auto path = vm::console_path(provision::machine_directory(lab.paths, *machine));
    if (std::error_code error; !std::filesystem::exists(path, error))
      fail(make_error(Code::not_found, "{} was never started: there is no console", *machine));
    std::vector<std::string> argv{"tail", "-n", "+1", "--", path.string()};
    if (*follow) argv.insert(argv.begin() + 1, "-F");
    become(argv);
  });
}

}  // namespace lab::cli
