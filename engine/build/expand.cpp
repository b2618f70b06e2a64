#include "engine/build/expand.hpp"

namespace lab::engine::build {

namespace {

constexpr int nesting_max = 100;

bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_name(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
         (c & 0x80) != 0;
}

template <typename... Args>
Error bad(fmt::format_string<Args...> format, Args&&... args) {
  return make_error(Code::invalid_argument, format, std::forward<Args>(args)...);
}

// The result in two forms at once: as one string, and as words split at unprotected blanks.
struct Output {
  std::string text;
  std::vector<std::string> words;
  std::string word;
  bool in_word = false;

  void add(char c, bool is_protected) {
    text += c;
    if (is_space(c) && !is_protected) {
      if (in_word && !word.empty()) words.push_back(std::exchange(word, {}));
      in_word = false;
      return;
    }
    word += c;
    in_word = true;
  }
  void add(std::string_view piece, bool is_protected) {
    for (char c : piece) add(c, is_protected);
    if (is_protected) in_word = true;
  }
  void finish() {
    if (!word.empty()) words.push_back(std::exchange(word, {}));
  }
};

class Expander {
 public:
  Expander(std::string_view word, const Variables& variables, char escape)
      : word_(word), variables_(variables), escape_(escape) {}

  Result<Output> run() {
    LAB_TRY(Output output, until(0));
    output.finish();
    return output;
  }

 private:
  [[nodiscard]] bool at_end() const { return at_ >= word_.size(); }
  [[nodiscard]] char peek() const { return at_end() ? '\0' : word_[at_]; }

  // Up to the unprotected character `stop` (which is consumed), or to the end when `stop` is 0.
  Result<Output> until(char stop) {
    if (++depth_ > nesting_max)
      return bad("substitutions are nested more than {} deep", nesting_max);
    Output output;
    while (!at_end()) {
      char c = peek();
      if (stop != 0 && c == stop) {
        ++at_;
        --depth_;
        return output;
      }
      if (c == '\'') {
        LAB_TRY(std::string quoted, single_quoted());
        output.add(quoted, true);
      } else if (c == '"') {
        LAB_TRY(std::string quoted, double_quoted());
        output.add(quoted, true);
      } else if (c == '$') {
        LAB_TRY(std::string value, dollar());
        output.add(value, false);
      } else if (c == escape_) {
        ++at_;
        if (at_end()) break;
        output.add(word_[at_++], true);
      } else {
        output.add(c, false);
        ++at_;
      }
    }
    --depth_;
    if (stop != 0) return bad("syntax error: missing '{}'", stop);
    return output;
  }

  Result<std::string> single_quoted() {
    std::size_t end = word_.find('\'', ++at_);
    if (end == std::string_view::npos) {
      return bad("unexpected end of statement while looking for matching single-quote");
    }
    std::string quoted(word_.substr(at_, end - at_));
    at_ = end + 1;
    return quoted;
  }

  Result<std::string> double_quoted() {
    std::string quoted;
    for (++at_; !at_end();) {
      char c = peek();
      if (c == '"') {
        ++at_;
        return quoted;
      }
      if (c == '$') {
        LAB_TRY(std::string value, dollar());
        quoted += value;
        continue;
      }
      ++at_;
      if (c == escape_) {
        char next = peek();
        if (at_end()) break;
        if (next == '"' || next == '$' || next == escape_) {
          c = next;
          ++at_;
        }
      }
      quoted += c;
    }
    return bad("unexpected end of statement while looking for matching double-quote");
  }

  std::string name() {
    std::size_t start = at_;
    if (!at_end() && is_digit(peek())) {
      while (!at_end() && is_digit(peek())) ++at_;
    } else if (!at_end() && std::string_view("@*#?-$!").find(peek()) != std::string_view::npos) {
      ++at_;
    } else {
      while (!at_end() && is_name(peek())) ++at_;
    }
    return std::string(word_.substr(start, at_ - start));
  }

  Result<std::string> dollar() {
    ++at_;
    if (peek() != '{') {
      std::string variable = name();
      if (variable.empty()) return std::string("$");
      return value_of(variable);
    }
    ++at_;
    if (at_end()) return bad("syntax error: missing '}}'");
    if (peek() == '{' || peek() == '}' || peek() == ':')
      return bad("syntax error: bad substitution");
    std::string variable = name();
    if (at_end()) return bad("syntax error: missing '}}'");
    char modifier = word_[at_++];
    if (modifier == '}') return value_of(variable);
    bool null_is_unset = modifier == ':';
    if (null_is_unset) {
      if (at_end()) return bad("syntax error: missing '}}'");
      modifier = word_[at_++];
    }
    return modified(variable, modifier, null_is_unset);
  }

  Result<std::string> modified(const std::string& variable, char modifier, bool null_is_unset) {
    if (modifier != '-' && modifier != '+' && modifier != '?') {
      return bad("unsupported modifier ({}{}) in substitution", null_is_unset ? ":" : "", modifier);
    }
    LAB_TRY(Output alternative, until('}'));
    auto found = variables_.find(variable);
    bool is_set = found != variables_.end();
    bool counts = is_set && !(null_is_unset && found->second.empty());
    if (modifier == '-') return counts ? found->second : alternative.text;
    if (modifier == '+') return counts ? alternative.text : std::string();
    if (counts) return found->second;
    std::string reason = is_set ? "is not allowed to be empty" : "is not allowed to be unset";
    return bad("{}: {}", variable, alternative.text.empty() ? reason : alternative.text);
  }

  [[nodiscard]] std::string value_of(const std::string& variable) const {
    auto found = variables_.find(variable);
    return found == variables_.end() ? std::string() : found->second;
  }

  std::string_view word_;
  const Variables& variables_;
  char escape_;
  std::size_t at_ = 0;
  int depth_ = 0;
};

Result<Output> expand(std::string_view word, const Variables& variables, char escape) {
  Result<Output> output = Expander(word, variables, escape).run();
  if (!output) return bad("failed to process \"{}\": {}", word, output.error().message);
  return output;
}

}  // namespace

Result<std::string> expand_word(std::string_view word, const Variables& variables, char escape) {
  LAB_TRY(Output output, expand(word, variables, escape));
  return std::move(output.text);
}

Result<std::vector<std::string>> expand_words(std::string_view word, const Variables& variables,
                                              char escape) {
  LAB_TRY(Output output, expand(word, variables, escape));
  return std::move(output.words);
}

}  // namespace lab::engine::build
