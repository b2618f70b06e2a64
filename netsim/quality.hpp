// The quality of one direction of a link, in the words and units of tc-netem: delay, jitter, loss,
// duplicate, corrupt, reorder, rate, limit. Times take a unit (s, ms, us, ns), probabilities a
// percent sign ("1.5%"), rates tc's units (bit, kbit, mbit, gbit; kibit...; bps, kbps... are bytes
// per second, as in tc). Errors are Code::invalid_argument and name the key and the value.
#pragma once

#include <boost/json/object.hpp>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hpp"
#include "base/error.hpp"

namespace lab::netsim {

struct LinkQuality {
  Duration delay{0};   // added to every frame
  Duration jitter{0};  // uniform in delay +- jitter, never below 0
  double loss = 0;     // probabilities: 0 to 1
  double duplicate = 0;
  double corrupt = 0;                 // one bit of the frame is flipped
  double reorder = 0;                 // the frame overtakes: no delay for it; needs a delay
  std::uint64_t rate_bits = 0;        // bits per second; 0: unlimited
  std::uint32_t limit_frames = 1000;  // frames under way at once; more are dropped

  bool operator==(const LinkQuality&) const = default;
  // Nothing that would touch a frame.
  [[nodiscard]] bool perfect() const {
    return delay.count() == 0 && jitter.count() == 0 && loss == 0 && duplicate == 0 &&
           corrupt == 0 && rate_bits == 0;
  }
};

// The keys in the order in which they are printed.
[[nodiscard]] const std::vector<std::string_view>& quality_keys();

// One key of a quality from its word ("delay", "10ms"). Leaves the others.
[[nodiscard]] Result<void> set_quality(LinkQuality& quality, std::string_view key,
                                       std::string_view value);
// What holds between the keys (jitter and reorder need a delay).
[[nodiscard]] Result<void> check_quality(const LinkQuality& quality);

// The value of one key as a word; empty when it is the default.
[[nodiscard]] std::string quality_word(const LinkQuality& quality, std::string_view key);
// "delay 10ms loss 1%"; "perfect" when nothing is set.
[[nodiscard]] std::string to_string(const LinkQuality& quality);
// The keys that are set, as JSON strings: {"delay":"10ms","loss":"1%"}.
[[nodiscard]] boost::json::object to_json(const LinkQuality& quality);
// Merges the keys of `object`, but for those in `skip`, into `quality`. Numbers are accepted for
// limit only. An unknown key is an error that lists the known ones.
[[nodiscard]] Result<void> merge_json(LinkQuality& quality, const boost::json::object& object,
                                      const std::vector<std::string_view>& skip = {});

[[nodiscard]] Result<Duration> parse_time(std::string_view word);
[[nodiscard]] Result<double> parse_probability(std::string_view word);
[[nodiscard]] Result<std::uint64_t> parse_rate(std::string_view word);
[[nodiscard]] std::string format_time(Duration time);
[[nodiscard]] std::string format_probability(double probability);
[[nodiscard]] std::string format_rate(std::uint64_t bits_per_second);

}  // namespace lab::netsim
