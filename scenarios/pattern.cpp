#include "scenarios/pattern.hpp"

#include <boost/regex.hpp>
#include <cctype>
#include <optional>

namespace lab::scenarios {

namespace {

// Beyond these a diff helps nobody and its table costs too much.
constexpr std::size_t diff_lines_max = 1000;
constexpr std::size_t match_cells_max = 50'000'000;

const std::map<std::string, std::string, std::less<>>& named_patterns() {
  static const std::map<std::string, std::string, std::less<>> patterns = {
      {"ID", "[0-9a-z]{12,64}"},
      {"IP", "(?:\\d{1,3}(?:\\.\\d{1,3}){3}|[0-9a-fA-F]*:[0-9a-fA-F:]*:[0-9a-fA-F]*)"},
      {"TOKEN", "SWMTKN-1-[0-9a-z]{50}-[0-9a-z]{25}"},
      {"SIZE", "\\d+(?:\\.\\d+)? ?(?:[kKMGT]i?)?B"},
      {"DURATION",
       "(?:Less than an? |About an? |\\d+(?:\\.\\d+)? ?)"
       "(?:nano|micro|milli)?(?:ns|us|ms|s|m|h|seconds?|minutes?|hours?|days?|weeks?|months?|years?"
       ")"
       "(?:\\d[\\d.hms]*)?"},
      {"DIGEST", "sha256:[0-9a-f]{64}"},
      {"NUMBER", "\\d+(?:\\.\\d+)?"},
      {"NAME", "[0-9A-Za-z][0-9A-Za-z_.-]*"},
  };
  return patterns;
}

bool is_name(std::string_view text) {
  if (text.empty() || std::isdigit(static_cast<unsigned char>(text.front())) != 0) return false;
  return std::all_of(text.begin(), text.end(), [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_';
  });
}

std::string escape(std::string_view text) {
  constexpr std::string_view special = R"(.[]{}()\*+?^$|)";
  std::string escaped;
  for (char c : text) {
    if (special.find(c) != special.npos) escaped += '\\';
    escaped += c;
  }
  return escaped;
}

// What stands between the braces of "%{...}" or "${...}" at `at`; braces inside must balance.
std::optional<std::string_view> braced(std::string_view text, std::size_t at) {
  if (at + 1 >= text.size() || text[at + 1] != '{') return {};
  int depth = 0;
  for (std::size_t i = at + 1; i < text.size(); ++i) {
    if (text[i] == '\\') {
      ++i;
    } else if (text[i] == '{') {
      ++depth;
    } else if (text[i] == '}' && --depth == 0) {
      return text.substr(at + 2, i - at - 2);
    }
  }
  return {};
}

struct Capture {
  std::string expression;
  std::string name;  // empty: not kept
};

Capture parse_capture(std::string_view inside) {
  Capture capture;
  const std::size_t colon = inside.rfind(':');
  if (colon != std::string_view::npos && is_name(inside.substr(colon + 1))) {
    capture.name = inside.substr(colon + 1);
    inside = inside.substr(0, colon);
  }
  const auto named = named_patterns().find(inside);
  capture.expression = named == named_patterns().end() ? std::string(inside) : named->second;
  return capture;
}

enum class Mode { plain, expression, glob };

// One expected line as a regular expression.
class Translator {
 public:
  Translator(std::string_view text, Mode mode, const Captures& captures)
      : text_(text), mode_(mode), captures_(captures) {}

  std::string translate() {
    while (at_ < text_.size()) {
      if (!take_capture() && !take_value() && !take_wildcard()) take_character();
    }
    return std::move(result_);
  }
  [[nodiscard]] const std::vector<std::string>& names() const { return names_; }

 private:
  bool take_capture() {
    if (text_[at_] != '%') return false;
    const auto inside = braced(text_, at_);
    if (!inside || inside->empty()) return false;
    const Capture capture = parse_capture(*inside);
    if (capture.name.empty()) {
      result_ += "(?:" + capture.expression + ")";
    } else {
      names_.push_back(capture.name);
      result_ += "(?<" + capture.name + ">" + capture.expression + ")";
    }
    at_ += inside->size() + 3;
    return true;
  }

  bool take_value() {
    if (text_[at_] != '$') return false;
    const auto inside = braced(text_, at_);
    if (!inside) return false;
    const auto value = captures_.find(*inside);
    if (value == captures_.end()) return false;
    result_ += escape(value->second);
    at_ += inside->size() + 3;
    return true;
  }

  bool take_wildcard() {
    if (mode_ == Mode::expression) return false;
    if (mode_ == Mode::glob && (text_[at_] == '*' || text_[at_] == '?')) {
      result_ += text_[at_++] == '*' ? ".*?" : ".";
      return true;
    }
    if (mode_ == Mode::plain && text_.substr(at_, 3) == "...") {
      result_ += ".*?";
      at_ += 3;
      return true;
    }
    const std::size_t end = std::min(text_.find_first_not_of(' ', at_), text_.size());
    if (at_ == 0 || end - at_ < 2) return false;
    result_ += " {2,}";
    at_ = end;
    return true;
  }

  void take_character() {
    if (mode_ == Mode::expression) {
      result_ += text_[at_];
    } else {
      result_ += escape(text_.substr(at_, 1));
    }
    ++at_;
  }

  std::string_view text_;
  Mode mode_;
  const Captures& captures_;
  std::size_t at_ = 0;
  std::string result_;
  std::vector<std::string> names_;
};

struct Suffix {
  std::string_view text;
  Mode mode = Mode::plain;
};

Suffix split_suffix(std::string_view line) {
  for (auto [suffix, mode] : {std::pair<std::string_view, Mode>{" (re)", Mode::expression},
                              std::pair<std::string_view, Mode>{" (glob)", Mode::glob}}) {
    if (line.ends_with(suffix)) {
      line.remove_suffix(suffix.size());
      return {line, mode};
    }
  }
  return {line, Mode::plain};
}

}  // namespace

struct Pattern::Line {
  std::string text;        // as the document has it
  bool any_lines = false;  // "..." alone
  boost::regex expression;
  std::vector<std::string> names;

  [[nodiscard]] bool matches(const std::string& line) const {
    boost::smatch found;
    return line == text || find(line, found);
  }
  // Of a line that matches; one that is equal as it stands captures nothing.
  void capture(const std::string& line, Captures& captures) const {
    boost::smatch found;
    if (line == text || !find(line, found)) return;
    for (const std::string& name : names) captures[name] = found[name].str();
  }

 private:
  bool find(const std::string& line, boost::smatch& found) const {
    try {
      return boost::regex_match(line, found, expression);
    } catch (const std::runtime_error&) {
      return false;  // it backtracked beyond measure
    }
  }
};

Pattern::Pattern(std::vector<Line> lines) : lines_(std::move(lines)) {}
Pattern::Pattern(Pattern&&) noexcept = default;
Pattern& Pattern::operator=(Pattern&&) noexcept = default;
Pattern::~Pattern() = default;

Result<Pattern> Pattern::compile(const std::vector<std::string>& lines, int first_line,
                                 const Captures& captures) {
  std::vector<Line> compiled;
  std::vector<std::string> seen;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    const int number = first_line + static_cast<int>(i);
    Line line;
    line.text = lines[i].substr(0, lines[i].find_last_not_of(" \t") + 1);
    line.any_lines = line.text == "...";
    const Suffix suffix = split_suffix(line.text);
    Translator translator(suffix.text, suffix.mode, captures);
    const std::string expression = translator.translate();
    line.names = translator.names();
    for (const std::string& name : line.names) {
      if (std::find(seen.begin(), seen.end(), name) != seen.end()) {
        return make_error(Code::invalid_argument, "{}: the name {} is captured twice in one output",
                          number, name);
      }
      seen.push_back(name);
    }
    try {
      line.expression.assign(expression, boost::regex::perl);
    } catch (const std::runtime_error& error) {
      return make_error(Code::invalid_argument, "{}: \"{}\" is not a regular expression: {}",
                        number, suffix.text, error.what());
    }
    compiled.push_back(std::move(line));
  }
  while (!compiled.empty() && compiled.back().text.empty()) compiled.pop_back();
  return Pattern(std::move(compiled));
}

namespace {

// Answers "can expected lines from i on match actual lines from j on" for all i and j.
class Reachable {
 public:
  Reachable(std::size_t rows, std::size_t columns)
      : columns_(columns + 1), bits_((rows + 1) * (columns + 1)) {}
  [[nodiscard]] bool at(std::size_t i, std::size_t j) const { return bits_[i * columns_ + j]; }
  void set(std::size_t i, std::size_t j, bool value) { bits_[i * columns_ + j] = value; }

 private:
  std::size_t columns_;
  std::vector<bool> bits_;
};

template <typename Line>
MatchResult match_in_order(const std::vector<Line>& expected,
                           const std::vector<std::string>& actual) {
  const std::size_t rows = expected.size();
  const std::size_t columns = actual.size();
  MatchResult result;
  if ((rows + 1) * (columns + 1) > match_cells_max) return result;
  Reachable reachable(rows, columns);
  reachable.set(rows, columns, true);
  for (std::size_t i = rows; i-- > 0;) {
    for (std::size_t j = columns + 1; j-- > 0;) {
      bool can = false;
      if (expected[i].any_lines) {
        can = reachable.at(i + 1, j) || (j < columns && reachable.at(i, j + 1));
      } else {
        can = j < columns && reachable.at(i + 1, j + 1) && expected[i].matches(actual[j]);
      }
      reachable.set(i, j, can);
    }
  }
  result.matched = reachable.at(0, 0);
  for (std::size_t i = 0, j = 0; result.matched && i < rows;) {
    if (expected[i].any_lines) {
      reachable.at(i + 1, j) ? ++i : ++j;
    } else {
      expected[i++].capture(actual[j++], result.captures);
    }
  }
  return result;
}

// The alignment that leaves the fewest lines unmatched.
template <typename Line>
std::vector<std::string> diff_in_order(const std::vector<Line>& expected,
                                       std::vector<std::string> actual) {
  std::vector<std::string> diff;
  const std::size_t all = actual.size();
  if (all > diff_lines_max) actual.resize(diff_lines_max);
  const std::size_t rows = std::min(expected.size(), diff_lines_max);
  const std::size_t columns = actual.size();
  std::vector<std::vector<unsigned>> cost(rows + 1, std::vector<unsigned>(columns + 1));
  std::vector<std::vector<bool>> same(rows + 1, std::vector<bool>(columns + 1));
  for (std::size_t i = rows + 1; i-- > 0;) {
    for (std::size_t j = columns + 1; j-- > 0;) {
      if (i == rows || j == columns) {
        const bool free = i < rows && expected[i].any_lines;
        cost[i][j] =
            i < rows ? cost[i + 1][j] + (free ? 0 : 1) : static_cast<unsigned>(columns - j);
        continue;
      }
      if (expected[i].any_lines) {
        cost[i][j] = std::min(cost[i + 1][j], cost[i][j + 1]);
        continue;
      }
      cost[i][j] = 1 + std::min(cost[i + 1][j], cost[i][j + 1]);
      same[i][j] = expected[i].matches(actual[j]);
      if (same[i][j]) cost[i][j] = std::min(cost[i][j], cost[i + 1][j + 1]);
    }
  }
  std::size_t i = 0;
  std::size_t j = 0;
  while (i < rows || j < columns) {
    if (i < rows && expected[i].any_lines) {
      if (j == columns || cost[i + 1][j] <= cost[i][j + 1]) {
        diff.emplace_back("  ...");
        ++i;
      } else {
        diff.push_back(". " + actual[j++]);
      }
    } else if (i < rows && j < columns && same[i][j] && cost[i][j] == cost[i + 1][j + 1]) {
      diff.push_back("  " + actual[j++]);
      ++i;
    } else if (i < rows && (j == columns || cost[i + 1][j] <= cost[i][j + 1])) {
      diff.push_back("- " + expected[i++].text);
    } else {
      diff.push_back("+ " + actual[j++]);
    }
  }
  if (all > columns) diff.push_back(fmt::format("+ ({} lines more)", all - columns));
  return diff;
}

// Pairs expected lines with actual ones, as many as can be (augmenting paths).
template <typename Line>
class Pairing {
 public:
  Pairing(const std::vector<Line>& expected, const std::vector<std::string>& actual)
      : expected_(expected), actual_(actual), owner_(actual.size(), none) {}

  MatchResult run() {
    MatchResult result;
    bool others_allowed = false;
    bool all_found = true;
    for (std::size_t i = 0; i < expected_.size(); ++i) {
      if (expected_[i].any_lines) {
        others_allowed = true;
        continue;
      }
      std::vector<bool> tried(actual_.size());
      if (place(i, tried)) continue;
      all_found = false;
      result.diff.push_back("- " + expected_[i].text);
    }
    for (std::size_t j = 0; j < actual_.size(); ++j) {
      if (owner_[j] != none) {
        expected_[owner_[j]].capture(actual_[j], result.captures);
        result.diff.push_back("  " + actual_[j]);
      } else if (!others_allowed) {
        all_found = false;
        result.diff.push_back("+ " + actual_[j]);
      }
    }
    result.matched = all_found;
    result.matched ? result.diff.clear() : result.captures.clear();
    return result;
  }

 private:
  static constexpr std::size_t none = static_cast<std::size_t>(-1);

  bool place(std::size_t i, std::vector<bool>& tried) {
    for (std::size_t j = 0; j < actual_.size(); ++j) {
      if (tried[j] || !expected_[i].matches(actual_[j])) continue;
      tried[j] = true;
      if (owner_[j] == none || place(owner_[j], tried)) {
        owner_[j] = i;
        return true;
      }
    }
    return false;
  }

  const std::vector<Line>& expected_;
  const std::vector<std::string>& actual_;
  std::vector<std::size_t> owner_;  // actual -> expected
};

}  // namespace

MatchResult Pattern::match(std::string_view output, bool unordered) const {
  const std::vector<std::string> actual = output_lines(output);
  if (unordered) return Pairing<Line>(lines_, actual).run();
  MatchResult result = match_in_order(lines_, actual);
  if (!result.matched) result.diff = diff_in_order(lines_, actual);
  return result;
}

std::string substitute(std::string_view text, const Captures& captures) {
  std::string result;
  for (std::size_t at = 0; at < text.size();) {
    if (text[at] == '$') {
      const auto inside = braced(text, at);
      const auto value = inside ? captures.find(*inside) : captures.end();
      if (value != captures.end()) {
        result += value->second;
        at += inside->size() + 3;
        continue;
      }
    }
    result += text[at++];
  }
  return result;
}

namespace {

// Without the control sequences of a terminal (ECMA-48, 5.4): colours and movements of the cursor.
std::string without_controls(std::string_view line) {
  std::string text;
  while (!line.empty()) {
    const std::size_t start = std::min(line.find("\x1b["), line.size());
    text += line.substr(0, start);
    line.remove_prefix(start);
    if (line.empty()) break;
    const std::size_t final_byte = line.find_first_not_of("0123456789:;<=>? !\"#$%&'()*+,-./", 2);
    line.remove_prefix(std::min(final_byte, line.size() - 1) + 1);
  }
  return text;
}

}  // namespace

std::vector<std::string> output_lines(std::string_view output) {
  std::vector<std::string> lines;
  while (!output.empty()) {
    const std::size_t end = std::min(output.find('\n'), output.size());
    std::string line = without_controls(output.substr(0, end));
    line.resize(line.find_last_not_of(" \t\r") + 1);
    lines.push_back(std::move(line));
    output.remove_prefix(std::min(end + 1, output.size()));
  }
  while (!lines.empty() && lines.back().empty()) lines.pop_back();
  return lines;
}

}  // namespace lab::scenarios
