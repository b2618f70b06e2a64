#include "scenarios/report.hpp"

namespace lab::scenarios {

namespace {

double seconds_of(Duration duration) { return std::chrono::duration<double>(duration).count(); }

std::string place_of(const StepResult& step) {
  return step.machine.empty() ? std::string("host") : step.machine;
}

// The first line, short enough for a terminal.
std::string short_command(std::string_view command) {
  constexpr std::size_t width = 64;
  const std::size_t end = command.find('\n');
  std::string text(command.substr(0, end));
  if (text.size() > width) {
    text.resize(width);
    while (!text.empty() && (static_cast<unsigned char>(text.back()) & 0xC0) == 0x80)
      text.pop_back();
    return text + "...";
  }
  return end == command.npos ? text : text + " ...";
}

// Valid in XML 1.0 whatever the bytes are.
std::string xml_escape(std::string_view text) {
  std::string escaped;
  for (char c : text) {
    switch (c) {
      case '&': escaped += "&amp;"; break;
      case '<': escaped += "&lt;"; break;
      case '>': escaped += "&gt;"; break;
      case '"': escaped += "&quot;"; break;
      case '\n': escaped += "&#10;"; break;
      case '\t': escaped += "&#9;"; break;
      default:
        if (static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) == 0x7F) {
          escaped += '?';
        } else {
          escaped += c;
        }
    }
  }
  return escaped;
}

std::string full_report(const std::string& path, const StepResult& step) {
  std::string text =
      fmt::format("{}:{}: on {}: {}\n", path, step.line, place_of(step), step.problem);
  text += fmt::format("{} {}\n", step.prompt, step.command);
  for (const std::string& line : step.diff) text += line + "\n";
  text += fmt::format("after {:.2f} s\n", seconds_of(step.elapsed));
  return text;
}

}  // namespace

void ConsoleReport::document_started(const Document& document) {
  fmt::print(stream_, "{}{}{}\n", document.path, document.title.empty() ? "" : ": ",
             document.title);
  std::fflush(stream_);
}

void ConsoleReport::step_started(const Document&, const StepResult& step) {
  if (!terminal_) return;
  fmt::print(stream_, "  ...  {:>5}  {:<6} {}\r", step.line, place_of(step),
             short_command(step.command));
  std::fflush(stream_);
}

void ConsoleReport::step_finished(const Document& document, const StepResult& step) {
  const bool failed = step.outcome == Outcome::failed;
  const char* red = terminal_ && failed ? "\x1b[31m" : "";
  const char* plain = terminal_ && failed ? "\x1b[0m" : "";
  if (terminal_) fmt::print(stream_, "\x1b[2K");
  fmt::print(stream_, "  {}{:<4}{} {:>5}  {:<6} {}  ({:.2f} s)\n", red, failed ? "FAIL" : "ok",
             plain, step.line, place_of(step), short_command(step.command),
             seconds_of(step.elapsed));
  if (failed) {
    const std::string text = full_report(document.path, step);
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t end = text.find('\n', at);
      fmt::print(stream_, "       {}\n", text.substr(at, end - at));
      at = end + 1;
    }
  }
  std::fflush(stream_);
}

void ConsoleReport::document_finished(const DocumentResult&) {}

std::string summary(const std::vector<DocumentResult>& results) {
  std::size_t passed = 0;
  std::size_t failed = 0;
  std::size_t skipped = 0;
  Duration elapsed{0};
  for (const DocumentResult& result : results) {
    passed += result.count(Outcome::passed);
    failed += result.count(Outcome::failed);
    skipped += result.count(Outcome::skipped);
    elapsed += result.elapsed;
  }
  std::string text = fmt::format("{} document{}, {} commands in {:.1f} s: {} passed, {} failed",
                                 results.size(), results.size() == 1 ? "" : "s",
                                 passed + failed + skipped, seconds_of(elapsed), passed, failed);
  if (skipped > 0) text += fmt::format(", {} not run", skipped);
  return text;
}

std::string junit_xml(const std::vector<DocumentResult>& results) {
  std::string xml = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n";
  for (const DocumentResult& result : results) {
    xml += fmt::format(
        "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{}\" skipped=\"{}\" time=\"{:.3f}\">\n",
        xml_escape(result.path), result.steps.size(), result.count(Outcome::failed),
        result.count(Outcome::skipped), seconds_of(result.elapsed));
    for (const StepResult& step : result.steps) {
      xml += fmt::format("    <testcase classname=\"{}\" name=\"{}: {}: {}\" time=\"{:.3f}\"",
                         xml_escape(result.path), step.line, xml_escape(place_of(step)),
                         xml_escape(short_command(step.command)), seconds_of(step.elapsed));
      if (step.outcome == Outcome::failed) {
        xml += fmt::format(">\n      <failure message=\"{}\">{}</failure>\n    </testcase>\n",
                           xml_escape(step.problem), xml_escape(full_report(result.path, step)));
      } else if (step.outcome == Outcome::skipped) {
        xml += ">\n      <skipped/>\n    </testcase>\n";
      } else {
        xml += "/>\n";
      }
    }
    xml += "  </testsuite>\n";
  }
  return xml + "</testsuites>\n";
}

}  // namespace lab::scenarios
