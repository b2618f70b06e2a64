// What a run looks like: lines for a person while it goes on, and JUnit XML for machines.
#pragma once

#include <cstdio>
#include <string>
#include <vector>

#include "scenarios/runner.hpp"

namespace lab::scenarios {

// One line a command; a failure with document, line, machine, command, diff and time. On a terminal
// the running command is shown too, and failures have colour.
class ConsoleReport final : public Observer {
 public:
  ConsoleReport(std::FILE* stream, bool terminal) : stream_(stream), terminal_(terminal) {}
  void document_started(const Document& document) override;
  void step_started(const Document& document, const StepResult& step) override;
  void step_finished(const Document& document, const StepResult& step) override;
  void document_finished(const DocumentResult& result) override;

 private:
  std::FILE* stream_;
  bool terminal_;
};

// "2 documents, 31 commands in 43.2 s: 30 passed, 1 failed".
[[nodiscard]] std::string summary(const std::vector<DocumentResult>& results);

// One test suite a document, one test case a command.
[[nodiscard]] std::string junit_xml(const std::vector<DocumentResult>& results);

}  // namespace lab::scenarios
