#include <fmt/core.h>

#include "cli/lab/common.hpp"
#include "cli/lab/verbs.hpp"
#include "provision/lab/keys.hpp"

namespace lab::cli {

void add_ssh(CLI::App& app, Globals& globals) {
  CLI::App* verb = app.add_subcommand("ssh", "Log in to a machine as root");
  auto machine = std::make_shared<std::string>();
  auto words = std::make_shared<std::vector<std::string>>();
  verb->add_option("machine", *machine, "The machine")->required();
  verb->add_option("command", *words, "A command for its shell, instead of a login");
  verb->positionals_at_end();
  verb->callback([machine, words, &globals] {
    auto lab = value_or_fail(provision::view_existing_lab(globals.labfile));
    require_running(lab, *machine);
    auto argv = openssh("ssh", lab);
    argv.push_back(*machine);
    argv.insert(argv.end(), words->begin(), words->end());
    argv.insert(argv.end(), globals.rest.begin(), globals.rest.end());
    become(argv);
  });
}

void add_ssh_config(CLI::App& app, Globals& globals) {
  CLI::App* verb =
      app.add_subcommand("ssh-config", "Print an ssh_config for the machines, to include in yours");
  verb->callback([&globals] {
    auto lab = value_or_fail(provision::view_existing_lab(globals.labfile));
    fmt::print("{}", provision::ssh_config_text(lab.paths, *lab.state));
  });
}

}  // namespace lab::cli
