#include "netsim/quality.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <boost/json/value.hpp>
#include <charconv>
#include <cmath>
#include <optional>

namespace lab::netsim {

namespace {

struct Unit {
  std::string_view name;
  double factor;
};

constexpr std::array<Unit, 10> time_units{{{"s", 1e9},
                                           {"sec", 1e9},
                                           {"secs", 1e9},
                                           {"ms", 1e6},
                                           {"msec", 1e6},
                                           {"msecs", 1e6},
                                           {"us", 1e3},
                                           {"usec", 1e3},
                                           {"usecs", 1e3},
                                           {"ns", 1}}};
constexpr std::array<Unit, 14> rate_units{{{"", 1},
                                           {"bit", 1},
                                           {"kbit", 1e3},
                                           {"mbit", 1e6},
                                           {"gbit", 1e9},
                                           {"tbit", 1e12},
                                           {"kibit", 1024.0},
                                           {"mibit", 1048576.0},
                                           {"gibit", 1073741824.0},
                                           {"bps", 8},
                                           {"kbps", 8e3},
                                           {"mbps", 8e6},
                                           {"gbps", 8e9},
                                           {"tbps", 8e12}}};
constexpr double time_max = 3600e9;  // one hour
constexpr double rate_max = 1e15;
constexpr std::uint32_t limit_max = 1'000'000;

struct Number {
  double value;
  std::string unit;  // lower case
};

std::optional<Number> split(std::string_view word) {
  double value = 0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
  if (error != std::errc{} || !std::isfinite(value)) return std::nullopt;
  std::string unit(end, word.data() + word.size());
  for (char& c : unit) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return Number{value, std::move(unit)};
}

template <std::size_t N>
const Unit* find_unit(const std::array<Unit, N>& units, std::string_view name) {
  for (const Unit& unit : units) {
    if (unit.name == name) return &unit;
  }
  return nullptr;
}

Result<std::uint32_t> parse_limit(std::string_view word) {
  std::uint32_t value = 0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
  if (error != std::errc{} || end != word.data() + word.size() || value == 0 || value > limit_max) {
    return make_error(Code::invalid_argument, "\"{}\" is not a number of frames: write 1 to {}",
                      word, limit_max);
  }
  return value;
}

}  // namespace

Result<Duration> parse_time(std::string_view word) {
  const auto number = split(word);
  const Unit* unit = number ? find_unit(time_units, number->unit) : nullptr;
  if (number && number->value == 0 && number->unit.empty()) return Duration{0};
  if (unit == nullptr) {
    return make_error(Code::invalid_argument,
                      "\"{}\" is not a time: write a number and s, ms, us or ns, like \"10ms\"",
                      word);
  }
  const double nanoseconds = number->value * unit->factor;
  if (nanoseconds < 0 || nanoseconds > time_max) {
    return make_error(Code::invalid_argument, "\"{}\" is out of range: 0 to 3600s", word);
  }
  return Duration{std::llround(nanoseconds)};
}

Result<double> parse_probability(std::string_view word) {
  const auto number = split(word);
  if (!number || !(number->unit == "%" || (number->unit.empty() && number->value == 0))) {
    return make_error(Code::invalid_argument,
                      "\"{}\" is not a probability: write a number and %, like \"1%\"", word);
  }
  if (number->value < 0 || number->value > 100) {
    return make_error(Code::invalid_argument, "\"{}\" is out of range: 0% to 100%", word);
  }
  return number->value / 100;
}

Result<std::uint64_t> parse_rate(std::string_view word) {
  const auto number = split(word);
  const Unit* unit = number ? find_unit(rate_units, number->unit) : nullptr;
  if (unit == nullptr) {
    return make_error(
        Code::invalid_argument,
        "\"{}\" is not a rate: write a number and bit, kbit, mbit or gbit, like \"10mbit\"", word);
  }
  const double bits = number->value * unit->factor;
  if (bits < 0 || bits > rate_max || (bits > 0 && bits < 1)) {
    return make_error(Code::invalid_argument,
                      "\"{}\" is out of range: 0 (unlimited), or 1bit to 1000tbit", word);
  }
  return static_cast<std::uint64_t>(std::llround(bits));
}

std::string format_time(Duration time) {
  const auto count = static_cast<double>(time.count());
  if (time.count() == 0) return "0ms";
  if (count >= 1e9) return fmt::format("{}s", count / 1e9);
  if (count >= 1e6) return fmt::format("{}ms", count / 1e6);
  if (count >= 1e3) return fmt::format("{}us", count / 1e3);
  return fmt::format("{}ns", count);
}

std::string format_probability(double probability) {
  // The multiplication's rounding error would show: 0.07 * 100 is 7.000000000000001.
  return fmt::format("{}%", std::round(probability * 1e14) / 1e12);
}

std::string format_rate(std::uint64_t bits_per_second) {
  const auto count = static_cast<double>(bits_per_second);
  if (count >= 1e9) return fmt::format("{}gbit", count / 1e9);
  if (count >= 1e6) return fmt::format("{}mbit", count / 1e6);
  if (count >= 1e3) return fmt::format("{}kbit", count / 1e3);
  return fmt::format("{}bit", bits_per_second);
}

const std::vector<std::string_view>& quality_keys() {
  static const std::vector<std::string_view> keys{"delay",   "jitter",  "loss", "duplicate",
                                                  "corrupt", "reorder", "rate", "limit"};
  return keys;
}

Result<void> set_quality(LinkQuality& quality, std::string_view key, std::string_view value) {
  const auto assign = [&](auto& field, auto parsed) -> Result<void> {
    if (!parsed) return parsed.error().wrap("{}", key);
    field = *parsed;
    return {};
  };
  if (key == "delay") return assign(quality.delay, parse_time(value));
  if (key == "jitter") return assign(quality.jitter, parse_time(value));
  if (key == "loss") return assign(quality.loss, parse_probability(value));
  if (key == "duplicate") return assign(quality.duplicate, parse_probability(value));
  if (key == "corrupt") return assign(quality.corrupt, parse_probability(value));
  if (key == "reorder") return assign(quality.reorder, parse_probability(value));
  if (key == "rate") return assign(quality.rate_bits, parse_rate(value));
  if (key == "limit") return assign(quality.limit_frames, parse_limit(value));
  return make_error(Code::invalid_argument, "\"{}\" is no property of a link; there are {}", key,
                    fmt::join(quality_keys(), ", "));
}

Result<void> check_quality(const LinkQuality& quality) {
  for (const auto& [key, set] :
       {std::pair{"jitter", quality.jitter.count() > 0}, {"reorder", quality.reorder > 0}}) {
    if (set && quality.delay.count() == 0) {
      return make_error(Code::invalid_argument,
                        "{} is \"{}\" but delay is 0: {} needs a delay, as in \"delay 10ms\"", key,
                        quality_word(quality, key), key);
    }
  }
  return {};
}

std::string quality_word(const LinkQuality& quality, std::string_view key) {
  const auto probability = [](double value) {
    return value == 0 ? std::string{} : format_probability(value);
  };
  const auto time = [](Duration value) {
    return value.count() == 0 ? std::string{} : format_time(value);
  };
  if (key == "delay") return time(quality.delay);
  if (key == "jitter") return time(quality.jitter);
  if (key == "loss") return probability(quality.loss);
  if (key == "duplicate") return probability(quality.duplicate);
  if (key == "corrupt") return probability(quality.corrupt);
  if (key == "reorder") return probability(quality.reorder);
  if (key == "rate") return quality.rate_bits == 0 ? "" : format_rate(quality.rate_bits);
  if (key == "limit" && quality.limit_frames != LinkQuality{}.limit_frames) {
    return fmt::format("{}", quality.limit_frames);
  }
  return {};
}

std::string to_string(const LinkQuality& quality) {
  std::string text;
  for (const std::string_view key : quality_keys()) {
    const std::string word = quality_word(quality, key);
    if (word.empty()) continue;
    fmt::format_to(std::back_inserter(text), "{}{} {}", text.empty() ? "" : " ", key, word);
  }
  return text.empty() ? "perfect" : text;
}

boost::json::object to_json(const LinkQuality& quality) {
  boost::json::object object;
  for (const std::string_view key : quality_keys()) {
    if (std::string word = quality_word(quality, key); !word.empty()) object[key] = word;
  }
  return object;
}

Result<void> merge_json(LinkQuality& quality, const boost::json::object& object,
                        const std::vector<std::string_view>& skip) {
  LinkQuality merged = quality;
  for (const auto& [key, value] : object) {
    if (std::find(skip.begin(), skip.end(), std::string_view(key)) != skip.end()) continue;
    if (key == "limit" && value.is_int64()) {
      LAB_CHECK(set_quality(merged, key, fmt::format("{}", value.get_int64())));
    } else if (value.is_string()) {
      LAB_CHECK(set_quality(merged, key, value.get_string()));
    } else {
      // An unknown key is the better complaint than its value's type.
      const auto& keys = quality_keys();
      if (std::find(keys.begin(), keys.end(), std::string_view(key)) == keys.end()) {
        return set_quality(merged, key, "");
      }
      return make_error(Code::invalid_argument, "{}: {} is not a string", std::string_view(key),
                        boost::json::serialize(value));
    }
  }
  LAB_CHECK(check_quality(merged));
  quality = merged;
  return {};
}

}  // namespace lab::netsim
