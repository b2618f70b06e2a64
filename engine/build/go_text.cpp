#include "engine/build/go_text.hpp"

#include <charconv>
#include <cmath>
#include <utility>

namespace lab::engine::build {

namespace {

using std::chrono::nanoseconds;

constexpr std::pair<std::string_view, std::int64_t> units[] = {
    {"ns", 1},         {"us", 1'000},        {"\u00b5s", 1'000},    {"\u03bcs", 1'000},
    {"ms", 1'000'000}, {"s", 1'000'000'000}, {"m", 60'000'000'000}, {"h", 3'600'000'000'000},
};

std::string escaped(std::string_view text, char quote) {
  std::string out;
  for (char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    switch (c) {
      case '\a': out += "\\a"; break;
      case '\b': out += "\\b"; break;
      case '\f': out += "\\f"; break;
      case '\n': out += "\\n"; break;
      case '\r': out += "\\r"; break;
      case '\t': out += "\\t"; break;
      case '\v': out += "\\v"; break;
      case '\\': out += "\\\\"; break;
      default:
        if (c == quote) {
          out += '\\';
          out += c;
        } else if (byte < 0x20 || byte == 0x7f) {
          out += fmt::format("\\x{:02x}", byte);
        } else {
          out += c;
        }
    }
  }
  return out;
}

// "1.5" and the like: fractions of the smallest unit are cut off.
std::string with_fraction(std::int64_t value, std::int64_t unit) {
  std::string text = fmt::format("{}", value / unit);
  if (value % unit == 0) return text;
  std::string digits = fmt::format("{:0{}}", value % unit,
                                   unit == 1'000'000'000 ? 9
                                   : unit == 1'000'000   ? 6
                                                         : 3);
  while (digits.ends_with('0')) digits.pop_back();
  return text + "." + digits;
}

}  // namespace

std::string go_quoted(std::string_view text) { return "\"" + escaped(text, '"') + "\""; }

std::string go_quoted(const std::vector<std::string>& texts) {
  std::string list = "[";
  for (const std::string& text : texts) {
    if (list.size() > 1) list += ' ';
    list += go_quoted(text);
  }
  return list + "]";
}

std::string go_list(const std::vector<std::string>& texts) {
  return fmt::format("[{}]", fmt::join(texts, " "));
}

std::string go_quoted_character(std::int64_t number) {
  if (number < 0 || number > 0x7e) return fmt::format("'\\u{:04x}'", number);
  const char character = static_cast<char>(number);
  return "'" + escaped({&character, 1}, '\'') + "'";
}

Result<nanoseconds> parse_go_duration(std::string_view text) {
  const auto invalid = [&] {
    return make_error(Code::invalid_argument, "time: invalid duration {}", go_quoted(text));
  };
  std::string_view rest = text;
  double sign = 1;
  if (rest.starts_with('-') || rest.starts_with('+')) {
    if (rest.front() == '-') sign = -1;
    rest.remove_prefix(1);
  }
  if (rest == "0") return nanoseconds(0);
  if (rest.empty()) return invalid();
  double total = 0;
  while (!rest.empty()) {
    double number = 0;
    const auto [end, failure] =
        std::from_chars(rest.data(), rest.data() + rest.size(), number, std::chars_format::fixed);
    if (failure != std::errc() || rest.front() == '-') return invalid();
    rest.remove_prefix(static_cast<std::size_t>(end - rest.data()));
    std::size_t length = 0;
    while (length < rest.size() && rest[length] != '.' &&
           (rest[length] < '0' || rest[length] > '9')) {
      ++length;
    }
    const std::string_view name = rest.substr(0, length);
    if (name.empty()) {
      return make_error(Code::invalid_argument, "time: missing unit in duration {}",
                        go_quoted(text));
    }
    const auto* unit = std::find_if(std::begin(units), std::end(units),
                                    [&](const auto& candidate) { return candidate.first == name; });
    if (unit == std::end(units)) {
      return make_error(Code::invalid_argument, "time: unknown unit {} in duration {}",
                        go_quoted(name), go_quoted(text));
    }
    total += number * static_cast<double>(unit->second);
    rest.remove_prefix(length);
  }
  constexpr double nanoseconds_max = 9.2e18;
  if (total > nanoseconds_max) return invalid();
  return nanoseconds(std::llround(sign * total));
}

std::string go_duration(nanoseconds duration) {
  const std::int64_t all = duration.count();
  if (all == 0) return "0s";
  if (all < 0) return "-" + go_duration(-duration);
  if (all < 1'000) return fmt::format("{}ns", all);
  if (all < 1'000'000) return with_fraction(all, 1'000) + "\u00b5s";
  if (all < 1'000'000'000) return with_fraction(all, 1'000'000) + "ms";
  constexpr std::int64_t minute = 60'000'000'000;
  constexpr std::int64_t hour = 60 * minute;
  std::string text;
  if (all >= hour) text += fmt::format("{}h", all / hour);
  if (all >= minute) text += fmt::format("{}m", all % hour / minute);
  return text + with_fraction(all % minute, 1'000'000'000) + "s";
}

}  // namespace lab::engine::build
