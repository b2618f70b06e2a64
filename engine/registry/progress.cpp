#include "engine/registry/progress.hpp"

#include <array>
#include <boost/json/serialize.hpp>

namespace lab::engine::registry {

namespace json = boost::json;

namespace {

constexpr Duration update_interval = std::chrono::milliseconds(100);
constexpr std::uint64_t bar_width = 50;

}  // namespace

std::string human_size(double bytes) {
  constexpr std::array<std::string_view, 6> units{"B", "kB", "MB", "GB", "TB", "PB"};
  std::size_t unit = 0;
  while (bytes >= 1000.0 && unit + 1 < units.size()) {
    bytes /= 1000.0;
    ++unit;
  }
  return fmt::format("{:.4g}{}", bytes, units[unit]);
}

std::string progress_bar(std::uint64_t current, std::uint64_t total) {
  if (current == 0 && total == 0) return {};
  const std::string done = human_size(static_cast<double>(current));
  if (total == 0) return fmt::format("{:>8}", done);
  const double share = static_cast<double>(current) / static_cast<double>(total) * 100.0;
  const auto filled = std::min(static_cast<std::uint64_t>(share) / 2, bar_width);
  const std::string bar =
      "[" + std::string(filled, '=') + ">" + std::string(bar_width - filled, ' ') + "] ";
  if (current > total) return fmt::format("{}{:>8}", bar, done);
  return fmt::format("{}{:>8}/{}", bar, done, human_size(static_cast<double>(total)));
}

void Progress::raw(const json::object& line) {
  pending_ += json::serialize(line);
  pending_ += "\r\n";
  started_ = true;
  changed_.notify_all();
}

void Progress::status(std::string_view text, std::string_view id) {
  json::object line;
  line["status"] = text;
  if (!id.empty()) line["id"] = id;
  raw(line);
}

void Progress::layer(std::string_view text, std::string_view id) {
  json::object line;
  line["status"] = text;
  line["progressDetail"] = json::object();
  line["id"] = id;
  raw(line);
}

void Progress::layer(std::string_view text, std::string_view id, std::uint64_t current,
                     std::uint64_t total) {
  const TimePoint now = clock_.now();
  TimePoint& last = last_[fmt::format("{} {}", id, text)];
  if (current < total && last != TimePoint() && now - last < update_interval) return;
  last = now;
  json::object detail;
  if (current > 0) detail["current"] = current;
  if (total > 0) detail["total"] = total;
  json::object line;
  line["status"] = text;
  line["progressDetail"] = std::move(detail);
  line["progress"] = progress_bar(current, total);
  line["id"] = id;
  raw(line);
}

void Progress::aux(json::object value) {
  json::object line;
  line["progressDetail"] = json::object();
  line["aux"] = std::move(value);
  raw(line);
}

void Progress::error(std::string_view message) {
  json::object detail;
  detail["message"] = message;
  json::object line;
  line["errorDetail"] = std::move(detail);
  line["error"] = message;
  raw(line);
}

void Progress::finish() {
  finished_ = true;
  changed_.notify_all();
}

boost::asio::awaitable<bool> Progress::any() {
  while (pending_.empty() && !finished_) co_await changed_.wait();
  co_return !pending_.empty();
}

boost::asio::awaitable<std::string> Progress::next() {
  co_await any();
  co_return std::exchange(pending_, {});
}

}  // namespace lab::engine::registry
