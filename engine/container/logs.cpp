#include "engine/container/logs.hpp"

#include <fcntl.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cerrno>
#include <charconv>

#include "engine/container/log_rotation.hpp"

namespace lab::engine::container {

namespace {

constexpr std::size_t read_bytes = 256 << 10;

int digits(std::string_view text, std::size_t at, std::size_t count) {
  int value = 0;
  for (std::size_t i = at; i < at + count; ++i) {
    if (i >= text.size() || text[i] < '0' || text[i] > '9') return -1;
    value = value * 10 + (text[i] - '0');
  }
  return value;
}

// "2026-11-24T07:08:03.123456789+01:00"
std::optional<WallTime> parse_time(std::string_view text) {
  int year = digits(text, 0, 4);
  int month = digits(text, 5, 2);
  int day = digits(text, 8, 2);
  int hour = digits(text, 11, 2);
  int minute = digits(text, 14, 2);
  int second = digits(text, 17, 2);
  int nanoseconds = digits(text, 20, 9);
  if (year < 0 || month < 1 || day < 1 || hour < 0 || minute < 0 || second < 0 || nanoseconds < 0)
    return {};
  std::chrono::sys_days date = std::chrono::year(year) / month / day;
  WallTime time = WallTime(date) + std::chrono::hours(hour) + std::chrono::minutes(minute) +
                  std::chrono::seconds(second) + std::chrono::nanoseconds(nanoseconds);
  if (text.size() >= 35 && (text[29] == '+' || text[29] == '-')) {
    auto offset =
        std::chrono::hours(digits(text, 30, 2)) + std::chrono::minutes(digits(text, 33, 2));
    time += text[29] == '+' ? -offset : offset;
  }
  return time;
}

Result<Fd> open_log(const std::filesystem::path& path) {
  Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return errno_error(errno, fmt::format("opening {}", path.string()));
  return file;
}

// The number of the oldest file: 0 without any rotation.
int oldest_of(const std::filesystem::path& path) {
  int number = 0;
  std::error_code ignored;
  while (std::filesystem::exists(rotated_log(path, number + 1), ignored)) ++number;
  return number;
}

bool is_same_file(int fd, const std::filesystem::path& path) {
  struct stat own {};
  struct stat other {};
  return fstat(fd, &own) == 0 && stat(path.c_str(), &other) == 0 && own.st_ino == other.st_ino &&
         own.st_dev == other.st_dev;
}

}  // namespace

std::optional<LogEntry> parse_log_line(std::string_view line) {
  std::size_t space = line.find(' ');
  if (space == std::string_view::npos) return {};
  std::optional<WallTime> time = parse_time(line.substr(0, space));
  if (!time) return {};
  line.remove_prefix(space + 1);
  LogEntry entry;
  entry.time = *time;
  if (line.starts_with("stderr ")) {
    entry.stream = standard_error;
  } else if (!line.starts_with("stdout ")) {
    return {};
  }
  line.remove_prefix(7);
  if (line.size() < 2 || line[1] != ' ' || (line[0] != 'F' && line[0] != 'P')) return {};
  entry.partial = line[0] == 'P';
  entry.text = line.substr(2);
  return entry;
}

Result<LogReader> LogReader::open(const std::filesystem::path& path) {
  LAB_TRY(Fd file, open_log(rotated_log(path, oldest_of(path))));
  return LogReader(path, std::move(file));
}

Result<void> LogReader::seek_tail(std::uint64_t lines) {
  std::uint64_t counted = 0;
  const int oldest = oldest_of(path_);
  for (int number = 0; number <= oldest; ++number) {
    Result<Fd> file = open_log(rotated_log(path_, number));
    if (!file && file.error().code == Code::not_found) continue;  // rotated away meanwhile
    if (!file) return std::move(file).error();
    file_ = std::move(*file);
    LAB_TRY(const bool enough, count_back(lines, counted));
    if (enough) return {};
  }
  return {};
}

// From the end of the file to the beginning of the last `lines` lines, of which `counted` were in
// newer files; else to the file's beginning.
Result<bool> LogReader::count_back(std::uint64_t lines, std::uint64_t& counted) {
  struct stat info {};
  if (fstat(file_.get(), &info) != 0) return errno_error(errno, "reading a log");
  auto end = static_cast<std::uint64_t>(info.st_size);
  offset_ = end;
  if (lines == 0) return true;
  // Backwards over whole entries; an entry that ends a line counts.
  std::string block;
  std::uint64_t at = end;
  while (at > 0) {
    std::size_t size = static_cast<std::size_t>(std::min<std::uint64_t>(at, read_bytes));
    block.resize(size);
    ssize_t got = pread(file_.get(), block.data(), size, static_cast<off_t>(at - size));
    if (got != static_cast<ssize_t>(size)) return errno_error(errno, "reading a log");
    for (std::size_t i = size; i > 0; --i) {
      if (block[i - 1] != '\n') continue;
      std::uint64_t start = at - size + i;  // of the line behind this newline
      if (start >= end) continue;
      char head[64];
      ssize_t head_size = pread(file_.get(), head, sizeof head, static_cast<off_t>(start));
      std::string_view text(head, static_cast<std::size_t>(std::max<ssize_t>(head_size, 0)));
      std::optional<LogEntry> entry = parse_log_line(text.substr(0, text.find('\n')));
      if (entry && entry->partial) continue;
      if (++counted == lines) {
        offset_ = start;
        return true;
      }
    }
    at -= size;
  }
  offset_ = 0;
  if (end > 0) ++counted;  // the first line, which no newline precedes
  return counted >= lines;
}

Result<std::size_t> LogReader::read_more() {
  const std::size_t kept = buffer_.size();
  buffer_.resize(kept + read_bytes);
  ssize_t got = pread(file_.get(), buffer_.data() + kept, read_bytes, static_cast<off_t>(offset_));
  buffer_.resize(kept + static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
  if (got < 0) return errno_error(errno, "reading a log");
  offset_ += static_cast<std::uint64_t>(got);
  return static_cast<std::size_t>(got);
}

// The file that came after this one, which is complete then. Rotations happen on this thread too,
// so none comes between the look and the opening.
Result<Fd> LogReader::newer_file() const {
  if (is_same_file(file_.get(), path_)) return make_error(Code::not_found, "no newer file");
  const int oldest = oldest_of(path_);
  int next = oldest;  // of a file that has been rotated away, all others are newer
  for (int number = 1; number <= oldest; ++number) {
    if (is_same_file(file_.get(), rotated_log(path_, number))) next = number - 1;
  }
  return open_log(rotated_log(path_, next));
}

Result<std::vector<LogEntry>> LogReader::read() {
  buffer_.erase(0, std::exchange(used_, 0));
  LAB_TRY(std::size_t got, read_more());
  while (got == 0) {
    Result<Fd> next = newer_file();
    if (!next) break;  // nothing newer, or the monitor is about to make it
    // What was written before the next file was there has to be read first.
    LAB_TRY(got, read_more());
    if (got > 0) break;
    file_ = std::move(*next);
    offset_ = 0;
    LAB_TRY(got, read_more());
  }
  std::vector<LogEntry> entries;
  std::string_view left = buffer_;
  for (;;) {
    std::size_t end = left.find('\n');
    if (end == std::string_view::npos) break;
    std::optional<LogEntry> entry = parse_log_line(left.substr(0, end));
    if (entry) {
      // The newline of the file stands for the one of the line.
      if (!entry->partial)
        entry->text = std::string_view(entry->text.data(), entry->text.size() + 1);
      entries.push_back(*entry);
    }
    left.remove_prefix(end + 1);
  }
  used_ = buffer_.size() - left.size();
  return entries;
}

Result<FileWatch> FileWatch::open(const boost::asio::any_io_executor& executor,
                                  const std::filesystem::path& path) {
  Fd fd(inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  if (!fd) return errno_error(errno, "opening inotify");
  const std::filesystem::path folder = path.parent_path();
  if (inotify_add_watch(fd.get(), folder.c_str(), IN_MODIFY | IN_CREATE | IN_MOVED_TO) < 0)
    return errno_error(errno, fmt::format("watching {}", folder.string()));
  return FileWatch(boost::asio::posix::stream_descriptor(executor, fd.release()));
}

boost::asio::awaitable<void> FileWatch::wait() {
  char buffer[4096];
  co_await inotify_.async_read_some(boost::asio::buffer(buffer),
                                    boost::asio::as_tuple(boost::asio::use_awaitable));
}

void FileWatch::close() {
  boost::system::error_code ignored;
  inotify_.close(ignored);
}

}  // namespace lab::engine::container
