#include "scenarios/document.hpp"

#include <cctype>
#include <charconv>

#include "scenarios/pattern.hpp"

namespace lab::scenarios {

namespace {

using std::chrono::milliseconds;

std::vector<std::string> split_lines(std::string_view text) {
  std::vector<std::string> lines;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    if (line.ends_with('\r')) line.remove_suffix(1);
    lines.emplace_back(line);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return lines;
}

std::vector<std::string_view> split_words(std::string_view text) {
  std::vector<std::string_view> words;
  for (;;) {
    const std::size_t start = text.find_first_not_of(" \t");
    if (start == std::string_view::npos) return words;
    text.remove_prefix(start);
    const std::size_t end = std::min(text.find_first_of(" \t"), text.size());
    words.push_back(text.substr(0, end));
    text.remove_prefix(end);
  }
}

std::string_view trim(std::string_view text) {
  const std::size_t start = text.find_first_not_of(" \t");
  if (start == std::string_view::npos) return {};
  return text.substr(start, text.find_last_not_of(" \t") - start + 1);
}

// "90s", "1m30s", "500ms", "2h".
std::optional<milliseconds> parse_duration(std::string_view text) {
  milliseconds total{0};
  if (text.empty()) return {};
  while (!text.empty()) {
    std::int64_t number = 0;
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc() || number < 0 || number > 1'000'000'000) return {};
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    const std::size_t unit_end = std::min(text.find_first_of("0123456789"), text.size());
    const std::string_view unit = text.substr(0, unit_end);
    text.remove_prefix(unit_end);
    if (unit == "ms") {
      total += milliseconds(number);
    } else if (unit == "s") {
      total += milliseconds(number * 1000);
    } else if (unit == "m") {
      total += milliseconds(number * 60'000);
    } else if (unit == "h") {
      total += milliseconds(number * 3'600'000);
    } else {
      return {};
    }
  }
  return total;
}

bool is_word(std::string_view text, std::string_view more) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [&](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || more.find(c) != more.npos;
  });
}

// "root@vm1:~# docker ps" or "$ ls"; none when the line is no prompt.
std::optional<Command> parse_prompt(std::string_view line, const Attributes& attributes) {
  Command command;
  if (line == "$" || line.starts_with("$ ")) {
    command.prompt = "$";
    command.machine = attributes.machine;
    command.text = line.substr(std::min<std::size_t>(2, line.size()));
    return command;
  }
  const std::size_t at = line.find('@');
  const std::size_t colon = line.find(':');
  if (at == line.npos || colon == line.npos || colon < at) return {};
  const std::string_view user = line.substr(0, at);
  const std::string_view machine = line.substr(at + 1, colon - at - 1);
  if (!is_word(user, "_-") || !is_word(machine, "_-.")) return {};
  if (user.front() == '-' || machine.front() == '-') return {};
  const std::size_t end = std::min(line.find(' ', colon), line.size());
  const std::string_view place = line.substr(colon + 1, end - colon - 1);
  if (place.size() < 2 || (place.front() != '~' && place.front() != '/')) return {};
  if (place.back() != '#' && place.back() != '$') return {};
  command.prompt = line.substr(0, end);
  command.user = user;
  command.machine = machine;
  command.directory = place.substr(0, place.size() - 1);
  command.text = line.substr(std::min(end + 1, line.size()));
  return command;
}

std::optional<int> parse_status(std::string_view line) {
  if (line.size() < 3 || line.size() > 5 || line.front() != '[' || line.back() != ']') return {};
  int status = 0;
  auto [end, error] = std::from_chars(line.data() + 1, line.data() + line.size() - 1, status);
  if (error != std::errc() || end != line.data() + line.size() - 1 || status > 255 || status < 0) {
    return {};
  }
  return status;
}

class Parser {
 public:
  Parser(std::string path, std::string_view text) : lines_(split_lines(text)) {
    document_.path = std::move(path);
  }

  Result<Document> parse() {
    skip_front_matter();
    while (at_ < lines_.size()) {
      const std::string_view line = trim(lines_[at_]);
      if (line.starts_with("```") || line.starts_with("~~~")) {
        read_fence();
      } else if (line.starts_with("<!--")) {
        read_comment();
      } else {
        if (document_.title.empty() && line.starts_with("# "))
          document_.title = trim(line.substr(2));
        ++at_;
      }
    }
    if (!faults_.empty()) {
      return Error{Code::invalid_argument, fmt::format("{}", fmt::join(faults_, "\n"))};
    }
    return std::move(document_);
  }

 private:
  template <typename... Args>
  void fault(std::size_t line, fmt::format_string<Args...> format, Args&&... args) {
    faults_.push_back(fmt::format("{}:{}: ", document_.path, line) +
                      fmt::format(format, std::forward<Args>(args)...));
  }

  // "---" on the first line up to the next "---": for other tools.
  void skip_front_matter() {
    if (lines_.empty() || trim(lines_[0]) != "---") return;
    for (std::size_t i = 1; i < lines_.size(); ++i) {
      if (trim(lines_[i]) == "---") {
        at_ = i + 1;
        return;
      }
    }
  }

  void read_fence() {
    const std::size_t open = at_++;
    const std::string_view line = lines_[open];
    const std::size_t indent = line.find_first_not_of(" \t");
    const char mark = line[indent];
    const std::size_t info_at = std::min(line.find_first_not_of(mark, indent), line.size());
    const std::size_t length = info_at - indent;
    const std::vector<std::string_view> info = split_words(line.substr(info_at));
    const bool console = !info.empty() && info.front() == "console";
    const std::size_t first = at_;
    std::vector<std::string> content;
    for (; at_ < lines_.size(); ++at_) {
      const std::string_view end = trim(lines_[at_]);
      if (end.size() >= length && end.find_first_not_of(mark) == end.npos) {
        ++at_;
        if (console) add_block(BlockKind::console, open + 1, info, content, first + 1);
        return;
      }
      std::string_view text = lines_[at_];
      const std::size_t blank = std::min(text.find_first_not_of(" \t"), text.size());
      text.remove_prefix(std::min(indent, blank));
      content.emplace_back(text);
    }
    if (console) fault(open + 1, "the console block that starts here has no end");
  }

  void read_comment() {
    const std::size_t open = at_++;
    std::string_view line = trim(lines_[open]).substr(4);
    if (line.find("-->") != line.npos) return;
    const std::vector<std::string_view> info = split_words(line);
    std::optional<BlockKind> kind;
    if (!info.empty() && info.front() == "setup") kind = BlockKind::setup;
    if (!info.empty() && info.front() == "check") kind = BlockKind::check;
    if (!info.empty() && info.front() == "cleanup") kind = BlockKind::cleanup;
    const std::size_t first = at_;
    std::vector<std::string> content;
    for (; at_ < lines_.size(); ++at_) {
      const std::size_t end = lines_[at_].find("-->");
      if (end == std::string::npos) {
        content.push_back(lines_[at_]);
        continue;
      }
      if (!trim(std::string_view(lines_[at_]).substr(0, end)).empty()) {
        content.push_back(lines_[at_].substr(0, end));
      }
      ++at_;
      if (kind) add_block(*kind, open + 1, info, content, first + 1);
      return;
    }
    fault(open + 1, "the comment that starts here has no end");
  }

  Attributes read_attributes(const std::vector<std::string_view>& info, std::size_t line) {
    Attributes attributes;
    for (std::size_t i = 1; i < info.size(); ++i) {
      const std::string_view word = info[i];
      const std::size_t equals = word.find('=');
      const std::string_view name = word.substr(0, equals);
      const std::string_view value =
          equals == word.npos ? std::string_view() : word.substr(equals + 1);
      if (name == "eventually" || name == "timeout") {
        const std::optional<milliseconds> duration = parse_duration(value);
        if (!duration) {
          fault(line, "{} is \"{}\"; it takes a time such as 30s or 1m30s", name, value);
        } else if (name == "eventually") {
          attributes.eventually = duration;
        } else {
          attributes.timeout = *duration;
        }
      } else if (name == "machine" && is_word(value, "_-.")) {
        attributes.machine = value;
      } else if (word == "skip") {
        attributes.skip = true;
      } else if (word == "unordered") {
        attributes.unordered = true;
      } else {
        fault(line,
              "unknown attribute \"{}\"; there are eventually=TIME, timeout=TIME, machine=NAME, "
              "unordered, skip",
              word);
      }
    }
    return attributes;
  }

  void add_block(BlockKind kind, std::size_t line, const std::vector<std::string_view>& info,
                 const std::vector<std::string>& content, std::size_t first) {
    Block block;
    block.kind = kind;
    block.line = static_cast<int>(line);
    block.attributes = read_attributes(info, line);
    if (block.attributes.skip) {
      read_commands(block, content, first, false);
    } else {
      read_commands(block, content, first, true);
    }
    document_.blocks.push_back(std::move(block));
  }

  void read_commands(Block& block, const std::vector<std::string>& content, std::size_t first,
                     bool strict) {
    for (std::size_t i = 0; i < content.size();) {
      std::optional<Command> command = parse_prompt(content[i], block.attributes);
      if (!command) {
        if (strict && !trim(content[i]).empty()) {
          fault(first + i, "a block starts with a prompt, such as \"root@vm1:~# \" or \"$ \"");
          return;
        }
        ++i;
        continue;
      }
      command->line = static_cast<int>(first + i);
      ++i;
      i = read_continuation(*command, content, i);
      command->expected_line = static_cast<int>(first + i);
      for (; i < content.size() && !parse_prompt(content[i], block.attributes); ++i) {
        command->expected.push_back(content[i]);
      }
      finish(*command, strict);
      block.commands.push_back(std::move(*command));
    }
  }

  // "> " continues a command, and so does the line behind one that ends with a backslash.
  static std::size_t read_continuation(Command& command, const std::vector<std::string>& content,
                                       std::size_t i) {
    for (; i < content.size(); ++i) {
      std::string_view line = content[i];
      if (line == ">") {
        line = {};
      } else if (line.starts_with("> ")) {
        line.remove_prefix(2);
      } else if (!command.text.ends_with('\\')) {
        break;
      }
      command.text += '\n';
      command.text += line;
    }
    return i;
  }

  void finish(Command& command, bool strict) {
    while (!command.expected.empty() && trim(command.expected.back()).empty()) {
      command.expected.pop_back();
    }
    if (!command.expected.empty()) {
      if (const auto status = parse_status(trim(command.expected.back()))) {
        command.status = *status;
        command.expected.pop_back();
      }
    }
    if (!strict) return;
    if (trim(command.text).empty()) {
      fault(static_cast<std::size_t>(command.line), "the prompt has no command");
    }
    const Captures none;
    Result<Pattern> pattern = Pattern::compile(command.expected, command.expected_line, none);
    if (!pattern) faults_.push_back(document_.path + ":" + pattern.error().message);
  }

  std::vector<std::string> lines_;
  std::size_t at_ = 0;
  Document document_;
  std::vector<std::string> faults_;
};

}  // namespace

Result<Document> parse_document(std::string path, std::string_view text) {
  return Parser(std::move(path), text).parse();
}

}  // namespace lab::scenarios
