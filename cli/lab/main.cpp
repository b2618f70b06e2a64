// lab: the command line of swarmlab.
#include <fmt/core.h>

#include <cstdio>
#include <exception>

#include "cli/lab/verbs.hpp"

namespace lab::cli {

void fail(const Error& error) {
  fmt::print(stderr, "lab: {}\n", error.message);
  throw Exit{exit_status(error.code)};
}

namespace {

int run(int argc, char** argv) {
  Globals globals;
  CLI::App app("A cluster of virtual machines with our own container engine, made from a labfile.",
               "lab");
  app.require_subcommand(1);
  app.fallthrough();
  app.add_option("-f,--labfile", globals.labfile, "The labfile")->capture_default_str();
  app.add_flag("--json", globals.json, "Print JSON");
  add_catalogue(app, globals);
  add_version(app, globals);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  } catch (const Exit& exit) {
    return exit.status;
  }
  return 0;
}

}  // namespace
}  // namespace lab::cli

int main(int argc, char** argv) {
  try {
    return lab::cli::run(argc, argv);
  } catch (const std::exception& error) {
    fmt::print(stderr, "lab: internal error: {}\n", error.what());
    return 1;
  }
}
