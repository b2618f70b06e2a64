#include "base/log.hpp"

#include <unistd.h>

#include <atomic>
#include <string>

#include "base/clock.hpp"

namespace lab::log {

namespace {

std::atomic<Level> minimum{Level::info};  // written once in main, before threads

constexpr std::string_view words[] = {"debug", "info ", "warn ", "error"};

}  // namespace

void set_level(Level level) { minimum = level; }

bool enabled(Level level) { return level >= minimum.load(std::memory_order_relaxed); }

void write(Level level, std::string_view message) {
  std::string line = format_rfc3339(SystemClock().wall_now());
  line.replace(23, std::string::npos, "Z ");
  line += words[static_cast<std::size_t>(level)];
  line += ' ';
  for (char c : message) line += c == '\n' ? ' ' : c;
  line += '\n';
  // One write per line, so that lines of several threads do not mix.
  [[maybe_unused]] ssize_t written = ::write(STDERR_FILENO, line.data(), line.size());
}

}  // namespace lab::log
