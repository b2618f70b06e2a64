#include <fmt/core.h>

#include "cli/lab/verbs.hpp"

namespace lab::cli {

void add_version(CLI::App& app, Globals& globals) {
  CLI::App* verb = app.add_subcommand("version", "Print the version of this program");
  verb->callback([&globals] {
    if (globals.json) {
      fmt::print("{{\"version\":\"{}\"}}\n", LAB_VERSION);
    } else {
      fmt::print("lab {}\n", LAB_VERSION);
    }
  });
}

}  // namespace lab::cli
