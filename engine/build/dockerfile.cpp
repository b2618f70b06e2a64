#include "engine/build/dockerfile.hpp"

#include <boost/json/parse.hpp>
#include <optional>
#include <set>

namespace lab::engine::build {

namespace {

constexpr std::size_t line_bytes_max = 65535;  // bufio.Scanner's limit, which Docker's parser has

bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

std::string_view trim_left(std::string_view text) {
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  return text;
}

std::string_view trim(std::string_view text) {
  text = trim_left(text);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return text;
}

std::string change_case(std::string_view text, int (*change)(int)) {
  std::string changed;
  for (unsigned char c : text) changed += static_cast<char>(change(c));
  return changed;
}

std::string upper(std::string_view text) { return change_case(text, std::toupper); }
std::string lower(std::string_view text) { return change_case(text, std::tolower); }

template <typename... Args>
Error bad(fmt::format_string<Args...> format, Args&&... args) {
  return make_error(Code::invalid_argument, format, std::forward<Args>(args)...);
}

// --- words ---

std::vector<std::string> split_words(std::string_view text) {
  std::vector<std::string> words;
  for (text = trim(text); !text.empty(); text = trim_left(text)) {
    std::size_t end = 0;
    while (end < text.size() && !is_space(text[end])) ++end;
    words.emplace_back(text.substr(0, end));
    text.remove_prefix(end);
  }
  return words;
}

// Words of which quotes and escapes keep blanks inside; both stay in the word for the expansion to
// remove.
std::vector<std::string> split_quoted_words(std::string_view text, char escape) {
  std::vector<std::string> words;
  std::string word;
  bool in_word = false;
  char quote = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (quote == 0 && is_space(c)) {
      if (in_word) words.push_back(std::exchange(word, {}));
      in_word = false;
      continue;
    }
    in_word = true;
    if (c == escape && quote != '\'') {
      if (i + 1 == text.size()) break;  // at the end of the line it escapes nothing
      word += c;
      word += text[++i];
      continue;
    }
    if (quote == 0 && (c == '\'' || c == '"')) {
      quote = c;
    } else if (c == quote) {
      quote = 0;
    }
    word += c;
  }
  if (in_word && !word.empty()) words.push_back(std::move(word));
  return words;
}

// A JSON array of strings; nothing when the text is no JSON array (it is then taken as a shell
// line).
Result<std::optional<std::vector<std::string>>> parse_json_words(std::string_view text) {
  using Words = std::optional<std::vector<std::string>>;
  text = trim(text);
  if (!text.starts_with('[')) return Words{};
  boost::system::error_code error;
  boost::json::value value = boost::json::parse(text, error);
  if (error || !value.is_array()) return Words{};
  std::vector<std::string> words;
  for (const boost::json::value& element : value.get_array()) {
    if (!element.is_string()) {
      return bad("when using JSON array syntax, arrays must be comprised of strings only");
    }
    words.emplace_back(element.get_string());
  }
  return Words(std::move(words));
}

// --- the arguments of each instruction ---

struct Parsed {
  std::vector<std::string> arguments;
  bool json = false;
};

Result<Parsed> whole_text(std::string_view text) {
  Parsed parsed;
  if (!text.empty()) parsed.arguments.emplace_back(text);
  return parsed;
}

Result<Parsed> json_or_whole_text(std::string_view text) {
  LAB_TRY(auto words, parse_json_words(text));
  if (!words) return whole_text(text);
  return Parsed{std::move(*words), true};
}

Result<Parsed> json_or_words(std::string_view text) {
  LAB_TRY(auto words, parse_json_words(text));
  if (!words) return Parsed{split_words(text), false};
  return Parsed{std::move(*words), true};
}

Result<Parsed> key_values(std::string_view name, std::string_view text, char escape) {
  std::vector<std::string> words = split_quoted_words(text, escape);
  Parsed parsed;
  if (words.empty()) return parsed;
  if (words.front().find('=') == std::string::npos) {  // the old form: ENV key the whole value
    std::size_t end = 0;
    while (end < text.size() && !is_space(text[end])) ++end;
    if (end == text.size())
      return bad("failed to parse Dockerfile: {} must have two arguments", name);
    parsed.arguments.emplace_back(text.substr(0, end));
    parsed.arguments.emplace_back(trim_left(text.substr(end)));
    return parsed;
  }
  for (const std::string& word : words) {
    std::size_t equals = word.find('=');
    if (equals == std::string::npos) {
      return bad("Syntax error - can't find = in \"{}\". Must be of the form: name=value", word);
    }
    parsed.arguments.push_back(word.substr(0, equals));
    parsed.arguments.push_back(word.substr(equals + 1));
  }
  return parsed;
}

Result<Parsed> health_check(std::string_view text) {
  std::size_t end = 0;
  while (end < text.size() && !is_space(text[end])) ++end;
  Parsed parsed;
  if (end == 0) return parsed;
  LAB_TRY(parsed, json_or_whole_text(trim_left(text.substr(end))));
  parsed.arguments.insert(parsed.arguments.begin(), upper(text.substr(0, end)));
  return parsed;
}

Result<Parsed> parse_arguments(std::string_view name, std::string_view text, char escape) {
  if (name == "ENV" || name == "LABEL") return key_values(name, text, escape);
  if (name == "RUN" || name == "CMD" || name == "ENTRYPOINT" || name == "SHELL")
    return json_or_whole_text(text);
  if (name == "ADD" || name == "COPY" || name == "VOLUME") return json_or_words(text);
  if (name == "ARG") return Parsed{split_quoted_words(text, escape), false};
  if (name == "HEALTHCHECK") return health_check(text);
  if (name == "FROM" || name == "EXPOSE") return Parsed{split_words(text), false};
  return whole_text(text);
}

// --- what each instruction requires ---

const std::map<std::string, std::set<std::string>, std::less<>>& known_flags() {
  static const std::map<std::string, std::set<std::string>, std::less<>> flags = {
      {"ADD", {"chown"}},
      {"COPY", {"chown", "from"}},
      {"FROM", {"platform"}},
      {"HEALTHCHECK", {"interval", "timeout", "start-period", "retries"}},
      {"ARG", {}},
      {"CMD", {}},
      {"ENTRYPOINT", {}},
      {"ENV", {}},
      {"EXPOSE", {}},
      {"LABEL", {}},
      {"MAINTAINER", {}},
      {"ONBUILD", {}},
      {"RUN", {}},
      {"SHELL", {}},
      {"STOPSIGNAL", {}},
      {"USER", {}},
      {"VOLUME", {}},
      {"WORKDIR", {}}};
  return flags;
}

Result<void> check_key_values(const Instruction& it) {
  if (it.arguments.empty()) return bad("{} requires at least one argument", it.name);
  for (std::size_t i = 0; i < it.arguments.size(); i += 2) {
    if (it.arguments[i].empty()) return bad("{} names can not be blank", it.name);
  }
  return {};
}

Result<void> check_health_check(const Instruction& it) {
  if (it.arguments.empty()) return bad("HEALTHCHECK requires at least one argument");
  const std::string& type = it.arguments.front();
  if (type == "NONE") {
    if (it.arguments.size() > 1) return bad("HEALTHCHECK NONE takes no arguments");
    return {};
  }
  if (type != "CMD") return bad("Unknown type \"{}\" in HEALTHCHECK (try CMD)", type);
  if (it.arguments.size() < 2) return bad("Missing command after HEALTHCHECK CMD");
  return {};
}

Result<void> check_on_build(const Instruction& it) {
  if (it.arguments.empty()) return bad("ONBUILD requires at least one argument");
  std::vector<std::string> words = split_words(it.arguments.front());
  std::string trigger = words.empty() ? "" : upper(words.front());
  if (trigger == "ONBUILD") return bad("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed");
  if (trigger == "MAINTAINER" || trigger == "FROM")
    return bad("{} isn't allowed as an ONBUILD trigger", trigger);
  return {};
}

Result<void> check_arg(const Instruction& it) {
  if (it.arguments.empty()) return bad("ARG requires at least one argument");
  for (const std::string& word : it.arguments) {
    if (word.starts_with('=')) return bad("ARG names can not be blank");
  }
  return {};
}

Result<void> check_volume(const Instruction& it) {
  if (it.arguments.empty()) return bad("VOLUME requires at least one argument");
  for (const std::string& path : it.arguments) {
    if (trim(path).empty()) return bad("VOLUME specified can not be an empty string");
  }
  return {};
}

Result<void> check_instruction(const Instruction& it) {
  const std::string& name = it.name;
  if (name == "ENV" || name == "LABEL") return check_key_values(it);
  if (name == "HEALTHCHECK") return check_health_check(it);
  if (name == "ONBUILD") return check_on_build(it);
  if (name == "ARG") return check_arg(it);
  if (name == "VOLUME") return check_volume(it);
  if (name == "EXPOSE" && it.arguments.empty()) return bad("EXPOSE requires at least one argument");
  if (name == "FROM" && it.arguments.size() != 1 &&
      !(it.arguments.size() == 3 && upper(it.arguments[1]) == "AS")) {
    return bad("FROM requires either one or three arguments");
  }
  if ((name == "ADD" || name == "COPY") && it.arguments.size() < 2) {
    return bad(
        "{} requires at least two arguments, but only one was provided. Destination could not be "
        "determined",
        name);
  }
  if (name == "SHELL") {
    if (it.arguments.empty()) return bad("SHELL requires at least one argument");
    if (!it.json) return bad("SHELL requires the arguments to be in JSON form");
  }
  static const std::set<std::string, std::less<>> single = {"MAINTAINER", "USER", "WORKDIR",
                                                            "STOPSIGNAL"};
  if (single.contains(name) && it.arguments.size() != 1)
    return bad("{} requires exactly one argument", name);
  return {};
}

// Takes the "--name=value" words off the front of `text`.
Result<void> take_flags(Instruction& it, std::string_view& text,
                        const std::set<std::string>& known) {
  while (text.starts_with("--")) {
    std::size_t end = 0;
    while (end < text.size() && !is_space(text[end])) ++end;
    std::string_view flag = text.substr(2, end - 2);
    text = trim_left(text.substr(end));
    if (flag.empty()) return {};  // "--" ends the flags
    std::size_t equals = flag.find('=');
    std::string name(flag.substr(0, equals));
    if (!known.contains(name)) return bad("Unknown flag: {}", name);
    if (it.flags.contains(name)) return bad("Duplicate flag specified: {}", name);
    if (equals == std::string_view::npos) return bad("Missing a value on flag: {}", name);
    it.flags[name] = flag.substr(equals + 1);
  }
  return {};
}

// --- lines ---

class LineReader {
 public:
  explicit LineReader(std::string_view text) : text_(text) {
    if (text_.starts_with("\xef\xbb\xbf")) text_.remove_prefix(3);
  }

  bool next(std::string_view& line) {
    if (text_.empty()) return false;
    std::size_t end = text_.find('\n');
    line = text_.substr(0, end);
    text_.remove_prefix(end == std::string_view::npos ? text_.size() : end + 1);
    if (line.ends_with('\r')) line.remove_suffix(1);
    ++number_;
    return true;
  }
  [[nodiscard]] int number() const { return number_; }

 private:
  std::string_view text_;
  int number_ = 0;
};

constexpr std::string_view no_stage = "no build stage in current context";

// Docker names the line of most errors, but not of these.
bool stands_alone(const Error& error) {
  return error.message.starts_with("failed to parse Dockerfile: ") || error.message == no_stage;
}

class Parser {
 public:
  explicit Parser(std::string_view text) : lines_(text) {}

  Result<Dockerfile> run() {
    LAB_CHECK(each_line([this](Instruction instruction) { return add(std::move(instruction)); }));
    if (file_.stages.empty() && file_.global_arguments.empty())
      return bad("failed to parse Dockerfile: file with no instructions");
    if (!file_.warnings.empty()) {
      file_.warnings.emplace_back(
          "[WARNING]: Empty continuation lines will become errors in a future release.");
    }
    return std::move(file_);
  }

  Result<std::vector<Instruction>> run_fragment() {
    std::vector<Instruction> all;
    LAB_CHECK(each_line([&all](Instruction instruction) {
      all.push_back(std::move(instruction));
      return Result<void>();
    }));
    return all;
  }

 private:
  template <typename Take>
  Result<void> each_line(const Take& take) {
    std::string_view raw;
    while (lines_.next(raw)) {
      LAB_CHECK(check_length(raw));
      std::string_view line = trim_left(raw);
      LAB_CHECK(take_directive(line));
      if (line.empty() || line.front() == '#') continue;
      int start = lines_.number();
      LAB_TRY(std::string joined, join_continuations(line));
      Result<Instruction> instruction = parse_instruction(joined, file_.escape);
      Result<void> taken;
      if (instruction) {
        instruction->line = start;
        taken = take(std::move(*instruction));
      } else {
        taken = std::move(instruction).error();
      }
      if (!taken && stands_alone(taken.error())) return std::move(taken).error();
      if (!taken) return bad("dockerfile parse error line {}: {}", start, taken.error().message);
    }
    return {};
  }

  Result<void> check_length(std::string_view line) const {
    if (line.size() <= line_bytes_max) return {};
    return bad("dockerfile line greater than max allowed size of {}", line_bytes_max);
  }

  // "# escape=`" and the like, which stand before everything else.
  Result<void> take_directive(std::string_view line) {
    if (directives_done_) return {};
    directives_done_ = true;
    std::size_t equals = line.find('=');
    if (!line.starts_with('#') || equals == std::string_view::npos) return {};
    std::string name = lower(trim(line.substr(1, equals - 1)));
    std::string_view value = trim(line.substr(equals + 1));
    if ((name != "escape" && name != "syntax") || value.empty()) return {};
    if (!seen_.insert(name).second) return bad("only one {} parser directive can be used", name);
    directives_done_ = false;
    if (name != "escape") return {};
    if (value != "`" && value != "\\") return bad("invalid ESCAPE '{}'. Must be ` or \\", value);
    file_.escape = value.front();
    return {};
  }

  // Cuts the escape character at the end off; true if it was there.
  bool cut_continuation(std::string_view& line) const {
    std::size_t end = line.find_last_not_of(" \t");
    if (end == std::string_view::npos || line[end] != file_.escape) return false;
    line = line.substr(0, end);
    return true;
  }

  Result<std::string> join_continuations(std::string_view line) {
    bool more = cut_continuation(line);
    std::string joined(line);
    bool empty_line = false;
    std::string_view raw;
    while (more && lines_.next(raw)) {
      LAB_CHECK(check_length(raw));
      std::string_view content = trim_left(raw);
      if (content.starts_with('#')) continue;
      if (content.empty()) {
        empty_line = true;
        continue;
      }
      more = cut_continuation(raw);
      joined += raw;
    }
    if (empty_line)
      file_.warnings.push_back("[WARNING]: Empty continuation line found in:\n    " + joined);
    return joined;
  }

  Result<void> add(Instruction instruction) {
    if (instruction.name == "FROM") return add_stage(instruction);
    if (!file_.stages.empty()) {
      file_.stages.back().instructions.push_back(std::move(instruction));
      return {};
    }
    if (instruction.name != "ARG") return bad("{}", no_stage);
    file_.global_arguments.push_back(std::move(instruction));
    return {};
  }

  Result<void> add_stage(const Instruction& from) {
    Stage stage;
    stage.base = from.arguments.front();
    stage.original = from.original;
    stage.line = from.line;
    if (auto platform = from.flags.find("platform"); platform != from.flags.end())
      stage.platform = platform->second;
    if (from.arguments.size() == 3) {
      stage.name = lower(from.arguments[2]);
      bool good = stage.name.front() >= 'a' && stage.name.front() <= 'z' &&
                  stage.name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-_.") ==
                      std::string::npos;
      if (!good) {
        return bad(
            "invalid name for build stage: \"{}\", name can't start with a number or contain "
            "symbols",
            from.arguments[2]);
      }
    }
    file_.stages.push_back(std::move(stage));
    return {};
  }

  LineReader lines_;
  Dockerfile file_;
  bool directives_done_ = false;
  std::set<std::string> seen_;
};

}  // namespace

Result<Instruction> parse_instruction(std::string_view line, char escape) {
  Instruction it;
  std::string_view text = trim(line);
  it.original = text;
  std::size_t end = 0;
  while (end < text.size() && !is_space(text[end])) ++end;
  it.name = upper(text.substr(0, end));
  auto known = known_flags().find(it.name);
  if (known == known_flags().end()) return bad("unknown instruction: {}", it.name);
  text = trim_left(text.substr(end));
  LAB_CHECK(take_flags(it, text, known->second));
  LAB_TRY(Parsed parsed, parse_arguments(it.name, text, escape));
  it.arguments = std::move(parsed.arguments);
  it.json = parsed.json;
  LAB_CHECK(check_instruction(it));
  return it;
}

Result<Dockerfile> parse_dockerfile(std::string_view text) { return Parser(text).run(); }

Result<std::vector<Instruction>> parse_instructions(std::string_view text) {
  return Parser(text).run_fragment();
}

}  // namespace lab::engine::build
