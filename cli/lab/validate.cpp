#include <fmt/core.h>

#include <boost/json.hpp>

#include "base/file.hpp"
#include "cli/lab/common.hpp"
#include "cli/lab/verbs.hpp"

namespace lab::cli {

namespace json = boost::json;

namespace {

void print_json(const provision::LabfileReading& reading, const std::string& file) {
  json::array problems;
  for (const provision::LabfileProblem& problem : reading.problems) {
    problems.push_back(json::object{{"file", file},
                                    {"line", problem.line},
                                    {"column", problem.column},
                                    {"message", problem.message}});
  }
  json::object result{{"valid", reading.labfile.has_value()}, {"problems", std::move(problems)}};
  fmt::print("{}\n", json::serialize(result));
}

}  // namespace

void add_validate(CLI::App& app, Globals& globals) {
  CLI::App* verb = app.add_subcommand("validate", "Check the labfile; all problems in one pass");
  verb->callback([&globals] {
    // A missing file gets its message from here.
    if (auto text = read_file(globals.labfile, std::size_t{4} << 20); !text) {
      auto missing = provision::load_labfile(globals.labfile);
      fail(missing ? text.error() : missing.error());
    } else {
      provision::LabfileReading reading = provision::parse_labfile(*text, globals.labfile);
      if (globals.json) {
        print_json(reading, globals.labfile);
      } else if (reading.labfile) {
        fmt::print("{}: valid: {} machines\n", globals.labfile, reading.labfile->machines.size());
      } else {
        fmt::print(stderr, "{}\n", provision::format_problems(reading.problems, globals.labfile));
      }
      if (!reading.labfile) throw Exit{exit_status(Code::invalid_argument)};
    }
  });
}

}  // namespace lab::cli
