#include <unistd.h>

#include "base/subprocess.hpp"
#include "cli/lab/common.hpp"
#include "cli/lab/verbs.hpp"

namespace lab::cli {

void add_exec(CLI::App& app, Globals& globals) {
  CLI::App* verb = app.add_subcommand(
      "exec", "Run a command on a machine: lab exec vm1 -- docker ps; its words stay as they are");
  auto machine = std::make_shared<std::string>();
  auto terminal = std::make_shared<bool>(false);
  verb->add_flag("-t,--tty", *terminal, "With a terminal");
  verb->add_option("machine", *machine, "The machine")->required();
  // From the first word that is not ours everything belongs to the command.
  verb->prefix_command();
  verb->fallthrough(false);
  verb->footer("The command and its arguments follow the machine; \"--\" before them is optional.");
  verb->callback([verb, machine, terminal, &globals] {
    std::vector<std::string> words = verb->remaining();
    words.insert(words.end(), globals.rest.begin(), globals.rest.end());
    if (words.empty())
      fail(make_error(Code::invalid_argument, "which command? lab exec {} -- COMMAND", *machine));
    auto lab = value_or_fail(provision::view_existing_lab(globals.labfile));
    require_running(lab, *machine);
    auto argv = openssh("ssh", lab);
    argv.emplace_back(*terminal ? "-t" : "-T");
    argv.push_back(*machine);
    // ssh joins its words with spaces for the shell at the other end.
    argv.push_back(shell_quote(words));
    become(argv);
  });
}

}  // namespace lab::cli
