#include "cli/lab/common.hpp"
#include "cli/lab/verbs.hpp"

namespace lab::cli {

void add_cp(CLI::App& app, Globals& globals) {
  CLI::App* verb = app.add_subcommand(
      "cp", "Copy files and folders: lab cp app vm1:/srv/, lab cp vm1:/etc/hosts .");
  auto paths = std::make_shared<std::vector<std::string>>();
  verb->add_option("path", *paths, "Sources and the target; MACHINE:PATH is on a machine")
      ->required()
      ->expected(2, 1000);
  verb->callback([paths, &globals] {
    auto lab = value_or_fail(provision::view_existing_lab(globals.labfile));
    bool any_remote = false;
    for (const std::string& path : *paths) {
      std::size_t colon = path.find(':');
      if (colon == std::string::npos || path.find('/') < colon) continue;
      require_running(lab, path.substr(0, colon));
      any_remote = true;
    }
    if (!any_remote) {
      fail(make_error(Code::invalid_argument,
                      "none of the paths is on a machine: write it as MACHINE:PATH"));
    }
    auto argv = openssh("scp", lab);
    argv.insert(argv.end(), {"-r", "-p", "--"});
    argv.insert(argv.end(), paths->begin(), paths->end());
    become(argv);
  });
}

}  // namespace lab::cli
