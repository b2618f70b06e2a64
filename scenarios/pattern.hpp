// Expected output of a command, compared with what came. Expected lines hold wildcards:
//   ...              alone: any number of lines, none included; inside a line: any text
//   text (re)        the line is a regular expression (Perl's syntax); text (glob): with * and ?
//   %{RE}, %{RE:x}   text that matches RE, kept under the name x; RE may be one of ID, IP, TOKEN,
//                    SIZE, DURATION, DIGEST, NUMBER, NAME
//   ${x}             what was kept under the name x by an earlier command
// A line that is equal as it stands matches whatever it holds. Two or more spaces inside a line
// match two or more, so that the columns of a table need not be as wide as they were. Spaces at the
// end of lines and empty lines at the end do not count.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"

namespace lab::scenarios {

using Captures = std::map<std::string, std::string, std::less<>>;

struct MatchResult {
  bool matched = false;
  Captures captures;  // of this output; empty unless it matched
  // "  same", "- expected", "+ actual", ". actual" for what "..." took; empty when it matched.
  std::vector<std::string> diff;
};

class Pattern {
 public:
  // Fails with Code::invalid_argument: a regular expression that is none, a capture's name used
  // twice; the message names the line by `first_line` plus its place. ${x} without a captured x
  // stands for itself.
  [[nodiscard]] static Result<Pattern> compile(const std::vector<std::string>& lines,
                                               int first_line, const Captures& captures);
  Pattern(Pattern&&) noexcept;
  Pattern& operator=(Pattern&&) noexcept;
  ~Pattern();

  // `unordered`: every expected line has its own line of output, in whatever order; "..." alone
  // then allows lines that nothing expects. A regular expression that runs away counts as no match.
  [[nodiscard]] MatchResult match(std::string_view output, bool unordered) const;

 private:
  struct Line;
  explicit Pattern(std::vector<Line> lines);
  std::vector<Line> lines_;
};

// `text` with ${x} replaced for every captured x; others stay as they are, for the shell.
[[nodiscard]] std::string substitute(std::string_view text, const Captures& captures);

// Without colours and other control sequences, without "\r" before line ends, without spaces at the
// end of lines, without empty lines at the end.
[[nodiscard]] std::vector<std::string> output_lines(std::string_view output);

}  // namespace lab::scenarios
