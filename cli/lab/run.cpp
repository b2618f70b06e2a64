#include <fmt/core.h>
#include <poll.h>
#include <unistd.h>

#include <filesystem>
#include <memory>

#include "base/clock.hpp"
#include "base/file.hpp"
#include "cli/lab/common.hpp"
#include "cli/lab/verbs.hpp"
#include "provision/lab/lab.hpp"
#include "scenarios/lab_machines.hpp"
#include "scenarios/report.hpp"
#include "scenarios/runner.hpp"

namespace lab::cli {

namespace {

constexpr std::chrono::seconds connect_timeout{30};

struct RunOptions {
  std::vector<std::string> files;
  std::string junit_xml;
  std::string via;
  bool first = false;
};

std::vector<scenarios::Document> read_documents(const std::vector<std::string>& files) {
  std::vector<scenarios::Document> documents;
  std::string faults;
  for (const std::string& file : files) {
    const std::string text = value_or_fail(read_file(file));
    Result<scenarios::Document> document = scenarios::parse_document(file, text);
    if (document) {
      documents.push_back(std::move(*document));
    } else {
      faults += (faults.empty() ? "" : "\n") + document.error().message;
    }
  }
  if (!faults.empty()) fail(Error{Code::invalid_argument, faults});
  return documents;
}

bool needs_machines(const std::vector<scenarios::Document>& documents) {
  for (const auto& document : documents) {
    for (const auto& block : document.blocks) {
      for (const auto& command : block.commands) {
        if (!command.machine.empty() && !block.attributes.skip) return true;
      }
    }
  }
  return false;
}

// The machines of the labfile's lab, which has to be up when a document needs one.
scenarios::LabMachines::Connect connector(const Globals& globals,
                                          const std::vector<scenarios::Document>& documents,
                                          bool via) {
  if (via || !needs_machines(documents)) {
    return [](const std::string& machine) -> Result<provision::SshSession> {
      return make_error(Code::not_found, "no machine {}", machine);
    };
  }
  auto lab = std::make_shared<provision::LabView>(
      value_or_fail(provision::view_existing_lab(globals.labfile)));
  return [lab](const std::string& machine) {
    return provision::connect_machine(*lab, machine, connect_timeout);
  };
}

std::vector<std::string> files_of_labfile(const Globals& globals) {
  const provision::LabView lab = value_or_fail(provision::view_lab(globals.labfile));
  std::vector<std::string> files(lab.labfile.scenarios.begin(), lab.labfile.scenarios.end());
  if (files.empty()) {
    fail(make_error(Code::invalid_argument, "which document? {} names no scenarios",
                    globals.labfile));
  }
  return files;
}

void run_documents(const RunOptions& options, const Globals& globals) {
  const std::vector<scenarios::Document> documents =
      read_documents(options.files.empty() ? files_of_labfile(globals) : options.files);
  // A `lab` that a document runs on the host means this lab too.
  setenv("LAB_LABFILE", std::filesystem::absolute(globals.labfile).c_str(), 1);
  const SystemClock clock;
  scenarios::LabMachines machines(connector(globals, documents, !options.via.empty()), clock,
                                  program_folder());
  machines.set_command(options.via);
  scenarios::ConsoleReport report(stdout, isatty(STDOUT_FILENO) != 0);
  const auto pause = [](std::chrono::milliseconds time) {
    poll(nullptr, 0, static_cast<int>(time.count()));
  };
  scenarios::Runner runner(machines, clock, pause, report);

  std::vector<scenarios::DocumentResult> results;
  bool passed = true;
  for (const scenarios::Document& document : documents) {
    results.push_back(runner.run(document));
    passed = passed && results.back().passed();
    if (!passed && options.first) break;
  }
  fmt::print("{}\n", scenarios::summary(results));
  if (!options.junit_xml.empty()) {
    check_or_fail(write_file(options.junit_xml, scenarios::junit_xml(results)));
  }
  if (!passed) throw Exit{1};
}

}  // namespace

void add_run(CLI::App& app, Globals& globals) {
  CLI::App* verb = app.add_subcommand(
      "run",
      "Run tutorials (Markdown) on the machines, and compare what comes with what they show");
  auto options = std::make_shared<RunOptions>();
  verb->add_option("file", options->files,
                   "The documents, in this order; without one, those of the labfile");
  verb->add_option("--junit-xml", options->junit_xml, "Write the results to this file too");
  verb->add_flag("--first", options->first, "End at the first document that fails");
  verb->add_option("--via", options->via,
                   "Reach machines by this shell command instead of the lab's SSH; it starts bash, "
                   "{machine} and {user} are replaced");
  verb->callback([options, &globals] { run_documents(*options, globals); });
}

}  // namespace lab::cli
