// Runs documents: each command on its machine, its output and status compared with what the
// document shows. A document stops at its first failure, as what follows builds upon it; its
// cleanup blocks run in any case.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "scenarios/document.hpp"
#include "scenarios/pattern.hpp"
#include "scenarios/shell.hpp"

namespace lab::scenarios {

enum class Outcome : std::uint8_t { passed, failed, skipped };

struct StepResult {
  Outcome outcome = Outcome::passed;
  int line = 0;
  std::string machine;  // empty: the host
  std::string prompt;
  std::string command;  // as run: captured values are filled in
  Duration elapsed{0};
  int attempts = 0;
  std::string problem;            // one line, of a failure
  std::vector<std::string> diff;  // of a failure, where outputs were compared
};

struct DocumentResult {
  std::string path;
  std::string title;
  Duration elapsed{0};
  std::vector<StepResult> steps;
  [[nodiscard]] std::size_t count(Outcome outcome) const;
  [[nodiscard]] bool passed() const { return count(Outcome::failed) == 0; }
};

// Told while it goes on; a person waits in front of it.
class Observer {
 public:
  virtual ~Observer() = default;
  virtual void document_started(const Document& document) = 0;
  virtual void step_started(const Document& document, const StepResult& step) = 0;
  virtual void step_finished(const Document& document, const StepResult& step) = 0;
  virtual void document_finished(const DocumentResult& result) = 0;
};

class Runner {
 public:
  using Pause = std::function<void(std::chrono::milliseconds)>;

  // All must outlive the runner.
  Runner(Machines& machines, const Clock& clock, Pause pause, Observer& observer)
      : machines_(machines), clock_(clock), pause_(std::move(pause)), observer_(observer) {}

  [[nodiscard]] DocumentResult run(const Document& document);

 private:
  struct Run;
  Machines& machines_;
  const Clock& clock_;
  Pause pause_;
  Observer& observer_;
};

}  // namespace lab::scenarios
