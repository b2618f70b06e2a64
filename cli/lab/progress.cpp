#include "cli/lab/progress.hpp"

#include <fmt/core.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

namespace lab::cli {

namespace {

constexpr std::chrono::milliseconds redraw_interval(500);

double seconds_between(TimePoint from, TimePoint to) {
  return std::chrono::duration<double>(to - from).count();
}

std::size_t terminal_columns() {
  winsize size{};
  if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 80;
  return size.ws_col;
}

bool is_live_terminal() {
  const char* terminal = std::getenv("TERM");
  return isatty(STDERR_FILENO) == 1 && terminal != nullptr && std::string_view(terminal) != "dumb";
}

}  // namespace

ProgressDisplay::ProgressDisplay(const Clock& clock)
    : clock_(clock), begin_(clock.now()), live_(is_live_terminal()) {
  if (live_) ticker_ = std::thread([this] { tick(); });
}

ProgressDisplay::~ProgressDisplay() { finish(); }

void ProgressDisplay::finish() {
  {
    std::lock_guard lock(mutex_);
    ended_ = true;
  }
  wake_.notify_all();
  if (ticker_.joinable()) ticker_.join();
}

ProgressDisplay::Line& ProgressDisplay::line_of(std::string_view subject) {
  for (Line& line : lines_)
    if (line.subject == subject) return line;
  Line added;
  added.subject = subject;
  auto after = std::find_if(lines_.begin(), lines_.end(),
                            [&](const Line& line) { return line.subject > subject; });
  return *lines_.insert(after, std::move(added));
}

void ProgressDisplay::set(std::string_view subject, std::string_view text, bool finished) {
  std::lock_guard lock(mutex_);
  Line& line = line_of(subject);
  if (line.text == text && line.finished == finished) return;
  line.text = text.substr(0, text.find('\n'));
  line.since = clock_.now();
  line.finished = finished;
  if (!live_) {
    fmt::print(stderr, "{:6.1f}s {}: {}\n", seconds_between(begin_, clock_.now()), subject,
               line.text);
    return;
  }
  erase();
  draw();
}

void ProgressDisplay::step(std::string_view subject, std::string_view step) {
  set(subject, step, false);
}

void ProgressDisplay::done(std::string_view subject, std::string_view result) {
  set(subject, result, true);
}

void ProgressDisplay::notice(std::string_view text) {
  std::lock_guard lock(mutex_);
  if (live_) erase();
  fmt::print(stderr, "lab: {}\n", text);
  if (live_) draw();
}

void ProgressDisplay::erase() {
  if (drawn_ > 0) fmt::print(stderr, "\x1b[{}A\r\x1b[J", drawn_);
  drawn_ = 0;
}

void ProgressDisplay::draw() {
  std::size_t columns = terminal_columns();
  std::size_t width = 3;
  for (const Line& line : lines_) width = std::max(width, line.subject.size());
  TimePoint now = clock_.now();
  for (const Line& line : lines_) {
    std::string elapsed =
        line.finished ? "" : fmt::format("  {:.0f}s", seconds_between(line.since, now));
    std::string row = fmt::format("{:<{}}  {}{}", line.subject, width, line.text, elapsed);
    if (row.size() >= columns) row.resize(columns - 1);
    fmt::print(stderr, "{}\n", row);
  }
  drawn_ = lines_.size();
  std::fflush(stderr);
}

void ProgressDisplay::tick() {
  std::unique_lock lock(mutex_);
  while (!wake_.wait_for(lock, redraw_interval, [this] { return ended_; })) {
    if (drawn_ == 0) continue;
    erase();
    draw();
  }
}

}  // namespace lab::cli
