#include "scenarios/runner.hpp"

namespace lab::scenarios {

namespace {

using std::chrono::milliseconds;

constexpr milliseconds first_pause{200};
constexpr milliseconds longest_pause{1000};

double seconds_of(Duration duration) { return std::chrono::duration<double>(duration).count(); }

// "~" and "~/x" as the shell's own folder.
std::string expand_home(const std::string& directory, const std::string& home) {
  if (directory == "~") return home;
  if (directory.starts_with("~/")) return home + directory.substr(1);
  return directory;
}

}  // namespace

std::size_t DocumentResult::count(Outcome outcome) const {
  return static_cast<std::size_t>(std::count_if(
      steps.begin(), steps.end(), [&](const StepResult& step) { return step.outcome == outcome; }));
}

// One document on its way.
struct Runner::Run {
  Run(Runner& runner, const Document& about) : owner(runner), document(about) {}

  DocumentResult go() {
    const TimePoint start = owner.clock_.now();
    result.path = document.path;
    result.title = document.title;
    owner.observer_.document_started(document);
    for (const Block& block : document.blocks) {
      if (block.kind != BlockKind::cleanup) run_block(block);
    }
    shells.clear();  // cleaning up needs nothing of what came before, in whatever state that is
    for (const Block& block : document.blocks) {
      if (block.kind == BlockKind::cleanup) run_block(block);
    }
    result.elapsed = owner.clock_.now() - start;
    owner.observer_.document_finished(result);
    return std::move(result);
  }

  void run_block(const Block& block) {
    for (const Command& command : block.commands) {
      StepResult step;
      step.line = command.line;
      step.machine = command.machine;
      step.prompt = command.prompt;
      step.command = substitute(command.text, captures);
      if (block.attributes.skip || (failed && block.kind != BlockKind::cleanup)) {
        step.outcome = Outcome::skipped;
      } else {
        owner.observer_.step_started(document, step);
        const TimePoint start = owner.clock_.now();
        run_step(block, command, step);
        step.elapsed = owner.clock_.now() - start;
        if (step.outcome == Outcome::failed) failed = true;
        owner.observer_.step_finished(document, step);
      }
      result.steps.push_back(std::move(step));
    }
  }

  void run_step(const Block& block, const Command& command, StepResult& step) {
    const Attributes& attributes = block.attributes;
    const bool compare = block.kind == BlockKind::console || block.kind == BlockKind::check;
    const TimePoint start = owner.clock_.now();
    milliseconds pause = first_pause;
    for (;;) {
      ++step.attempts;
      step.outcome = Outcome::passed;
      step.problem.clear();
      step.diff.clear();
      milliseconds timeout = attributes.timeout;
      if (attributes.eventually) {
        const auto left = std::chrono::duration_cast<milliseconds>(start + *attributes.eventually -
                                                                   owner.clock_.now());
        timeout = std::min(timeout, std::max(left, milliseconds(1000)));
      }
      attempt(command, compare, attributes.unordered, timeout, step);
      if (step.outcome == Outcome::passed || !attributes.eventually) return;
      const Duration elapsed = owner.clock_.now() - start;
      if (elapsed + pause >= *attributes.eventually) {
        step.problem += fmt::format(" (tried {} times within {:.3g} s)", step.attempts,
                                    seconds_of(*attributes.eventually));
        return;
      }
      owner.pause_(pause);
      pause = std::min(pause * 2, longest_pause);
    }
  }

  static void fail(StepResult& step, std::string problem) {
    step.outcome = Outcome::failed;
    step.problem = std::move(problem);
  }

  void attempt(const Command& command, bool compare, bool unordered, milliseconds timeout,
               StepResult& step) {
    Result<Shell*> shell = shell_for(command);
    if (!shell) return fail(step, shell.error().message);
    if (!command.directory.empty()) {
      const std::string shown = expand_home(command.directory, (*shell)->home());
      if (shown != (*shell)->directory()) {
        return fail(step, fmt::format("the prompt shows the folder {}, but the shell is in {}",
                                      command.directory, (*shell)->directory()));
      }
    }
    Result<ShellOutput> output = (*shell)->run(step.command, timeout);
    if (!output) return fail(step, output.error().message);
    if (compare && !compare_output(command, unordered, output->text, step)) return;
    if (output->status == command.status) return;
    std::string problem = command.status == 0 ? fmt::format("exit status {}", output->status)
                                              : fmt::format("exit status {} instead of {}",
                                                            output->status, command.status);
    if (step.diff.empty()) {
      for (const std::string& line : output_lines(output->text)) step.diff.push_back("  " + line);
    }
    fail(step, std::move(problem));
  }

  // False when they differ; the step then says how.
  bool compare_output(const Command& command, bool unordered, const std::string& text,
                      StepResult& step) {
    Result<Pattern> pattern = Pattern::compile(command.expected, command.expected_line, captures);
    if (!pattern) {
      fail(step, pattern.error().message);
      return false;
    }
    MatchResult match = pattern->match(text, unordered);
    if (!match.matched) {
      step.diff = std::move(match.diff);
      fail(step, "the output is another one");
      return false;
    }
    for (auto& [name, value] : match.captures) captures[name] = std::move(value);
    return true;
  }

  Result<Shell*> shell_for(const Command& command) {
    std::unique_ptr<Shell>& shell = shells[{command.machine, command.user}];
    if (shell == nullptr || !shell->alive()) {
      shell.reset();
      LAB_TRY(shell, owner.machines_.open(command.machine, command.user));
    }
    return shell.get();
  }

  Runner& owner;
  const Document& document;
  DocumentResult result;
  Captures captures;
  std::map<std::pair<std::string, std::string>, std::unique_ptr<Shell>> shells;
  bool failed = false;
};

DocumentResult Runner::run(const Document& document) {
  Run run(*this, document);
  return run.go();
}

}  // namespace lab::scenarios
