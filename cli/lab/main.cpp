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

// CLI11 hands what follows "--" below a verb to the program as a whole. For the verbs that pass a
// command on it is cut off before.
int cut_command(int argc, char** argv, Globals& globals) {
  std::string_view verb;
  for (int i = 1; i < argc; ++i) {
    std::string_view word(argv[i]);
    if (word == "--") {
      if (verb != "exec" && verb != "ssh" && verb != "net") return argc;
      globals.rest.assign(argv + i + 1, argv + argc);
      return i;
    }
    if (word == "-f" || word == "--labfile") {
      ++i;
    } else if (verb.empty() && !word.starts_with('-')) {
      verb = word;
    }
  }
  return argc;
}

int run(int argc, char** argv) {
  Globals globals;
  argc = cut_command(argc, argv, globals);
  CLI::App app("A cluster of virtual machines with our own container engine, made from a labfile.",
               "lab");
  app.require_subcommand(1);
  app.fallthrough();
  app.add_option("-f,--labfile", globals.labfile, "The labfile")
      ->envname("LAB_LABFILE")
      ->capture_default_str();
  app.add_flag("--json", globals.json, "Print JSON");
  add_up(app, globals);
  add_status(app, globals);
  add_ssh(app, globals);
  add_ssh_config(app, globals);
  add_exec(app, globals);
  add_cp(app, globals);
  add_sync(app, globals);
  add_console(app, globals);
  add_logs(app, globals);
  add_halt(app, globals);
  add_suspend(app, globals);
  add_resume(app, globals);
  add_snapshot(app, globals);
  add_destroy(app, globals);
  add_run(app, globals);
  add_validate(app, globals);
  add_init(app, globals);
  add_doctor(app, globals);
  add_catalogue(app, globals);
  add_net(app, globals);
  add_forward(app, globals);
  add_version(app, globals);
  add_completion(app, globals);
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
