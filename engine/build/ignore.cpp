#include "engine/build/ignore.hpp"

#include <algorithm>

#include "engine/container/mounts.hpp"

namespace lab::engine::build {

namespace {

std::string_view trim(std::string_view text) {
  constexpr std::string_view blanks = " \t\r\n\v\f";
  const std::size_t first = text.find_first_not_of(blanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(blanks) - first + 1);
}

// One character class, from behind its '['; the pattern is advanced behind the ']'.
Match match_class(std::string_view& pattern, char c) {
  const bool negated = pattern.starts_with('^');
  if (negated) pattern.remove_prefix(1);
  bool matched = false;
  const auto take = [&pattern](char& taken) {
    if (pattern.starts_with('\\')) pattern.remove_prefix(1);
    if (pattern.empty()) return false;
    taken = pattern.front();
    pattern.remove_prefix(1);
    return !pattern.empty();
  };
  for (bool any = false; !any || !pattern.starts_with(']'); any = true) {
    if (pattern.empty() || pattern.front() == '-' || pattern.front() == ']')
      return Match::malformed;
    char low = 0;
    if (!take(low)) return Match::malformed;
    char high = low;
    if (pattern.starts_with('-')) {
      pattern.remove_prefix(1);
      if (pattern.starts_with(']') || !take(high)) return Match::malformed;
    }
    matched = matched || (low <= c && c <= high);
  }
  pattern.remove_prefix(1);
  return matched != negated ? Match::yes : Match::no;
}

// How '*' and "**" are retried: the last of them, and where it began to match.
struct Star {
  std::string_view pattern;
  std::string_view path;
  bool crosses = false;  // "**": takes slashes too
  bool folders = false;  // "**/": takes whole folders
};

// The part of the pattern that matches one character of the path.
Match match_one(std::string_view& pattern, std::string_view& path) {
  if (pattern.front() == '?') {
    if (path.empty() || path.front() == '/') return Match::no;
    pattern.remove_prefix(1);
    path.remove_prefix(1);
    return Match::yes;
  }
  if (pattern.front() == '[') {
    pattern.remove_prefix(1);
    const Match matched = match_class(pattern, path.empty() ? '/' : path.front());
    if (matched != Match::yes) return matched;
    if (path.empty() || path.front() == '/') return Match::no;
    path.remove_prefix(1);
    return Match::yes;
  }
  if (pattern.front() == '\\') {
    pattern.remove_prefix(1);
    if (pattern.empty()) return Match::malformed;
  }
  if (path.empty() || path.front() != pattern.front()) return Match::no;
  pattern.remove_prefix(1);
  path.remove_prefix(1);
  return Match::yes;
}

class Matcher {
 public:
  Matcher(std::string_view pattern, std::string_view path, bool double_star)
      : pattern_(pattern), path_(path), double_star_(double_star) {}

  Match run() {
    for (;;) {
      if (pattern_.starts_with('*')) {
        take_star();
        continue;
      }
      if (pattern_.empty() && path_.empty()) return Match::yes;
      const Match one = pattern_.empty() ? Match::no : match_one(pattern_, path_);
      if (one == Match::malformed) return one;
      if (one == Match::no && !retry()) return Match::no;
    }
  }

 private:
  void take_star() {
    Star star;
    while (pattern_.starts_with('*')) {
      star.crosses = star.crosses || (double_star_ && pattern_.starts_with("**"));
      pattern_.remove_prefix(1);
    }
    star.folders = star.crosses && pattern_.starts_with('/');
    if (star.folders) pattern_.remove_prefix(1);
    star.pattern = pattern_;
    star.path = path_;
    stars_.push_back(star);
  }

  // The last star that can takes one character more.
  bool retry() {
    while (!stars_.empty()) {
      Star& star = stars_.back();
      const std::size_t step = star.folders ? star.path.find('/') + 1 : 1;
      const bool can = !star.path.empty() && step > 0 && (star.crosses || star.path.front() != '/');
      if (!can || ++tries_ > tries_max) {
        stars_.pop_back();
        continue;
      }
      star.path.remove_prefix(step);
      // A star before the last one never has to take more than it did, unless it crosses folders.
      pattern_ = star.pattern;
      path_ = star.path;
      return true;
    }
    return false;
  }

  static constexpr int tries_max = 1'000'000;  // a hostile pattern ends as no match
  std::string_view pattern_;
  std::string_view path_;
  bool double_star_;
  std::vector<Star> stars_;
  int tries_ = 0;
};

}  // namespace

Match match_path(std::string_view pattern, std::string_view path) {
  return Matcher(pattern, path, false).run();
}

Result<IgnorePatterns> IgnorePatterns::parse(std::string_view text) {
  IgnorePatterns ignore;
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.starts_with('#')) continue;
    line = trim(line);
    if (line.empty()) continue;
    Pattern pattern;
    if (line.starts_with('!')) {
      pattern.exception = true;
      line = trim(line.substr(1));
      if (line.empty()) return Error{Code::invalid_argument, "illegal exclusion pattern: \"!\""};
    }
    pattern.text = container::clean_path("/" + std::string(line)).substr(1);
    pattern.folders =
        static_cast<std::size_t>(std::count(pattern.text.begin(), pattern.text.end(), '/') + 1);
    if (match_path(pattern.text, ".") == Match::malformed)
      return make_error(Code::invalid_argument, "syntax error in pattern: {}", line);
    if (!pattern.text.empty()) ignore.patterns_.push_back(std::move(pattern));
  }
  return ignore;
}

bool IgnorePatterns::excludes(std::string_view path) const {
  bool excluded = false;
  for (const Pattern& pattern : patterns_) {
    bool matches = Matcher(pattern.text, path, true).run() == Match::yes;
    // Or it matches the folder that the path lies in.
    std::size_t end = 0;
    for (std::size_t i = 0; i < pattern.folders && end != std::string_view::npos; ++i)
      end = path.find('/', end + (i > 0 ? 1 : 0));
    if (!matches && end != std::string_view::npos)
      matches = Matcher(pattern.text, path.substr(0, end), true).run() == Match::yes;
    if (matches) excluded = !pattern.exception;
  }
  return excluded;
}

}  // namespace lab::engine::build
