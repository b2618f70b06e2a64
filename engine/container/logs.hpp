// What a container has written, from the monitor's log file: lines "TIME STREAM F|P TEXT", where P
// marks a piece of a line that goes on in the next entry. A rotated log (log_rotation.hpp) is read
// from its oldest file to the newest, also when it is rotated meanwhile.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hpp"
#include "base/error.hpp"
#include "base/file.hpp"
#include "engine/container/attach.hpp"

namespace lab::engine::container {

struct LogEntry {
  WallTime time;
  int stream = standard_output;
  bool partial = false;
  std::string_view text;  // with its newline unless partial; valid until the next call
};

// One line of the file, without its newline; nothing when it is none of the monitor's.
[[nodiscard]] std::optional<LogEntry> parse_log_line(std::string_view line);

// Reads a log from some place on; what is appended later is seen by later calls.
class LogReader {
 public:
  [[nodiscard]] static Result<LogReader> open(const std::filesystem::path& path);

  // Goes to the beginning of the last `lines` lines (0: to the end).
  [[nodiscard]] Result<void> seek_tail(std::uint64_t lines);
  // The next entries, as many as one read gives; empty at the present end.
  [[nodiscard]] Result<std::vector<LogEntry>> read();
  [[nodiscard]] int descriptor() const { return file_.get(); }

 private:
  LogReader(std::filesystem::path path, Fd file) : path_(std::move(path)), file_(std::move(file)) {}

  [[nodiscard]] Result<bool> count_back(std::uint64_t lines, std::uint64_t& counted);
  [[nodiscard]] Result<std::size_t> read_more();
  [[nodiscard]] Result<Fd> newer_file() const;

  std::filesystem::path path_;  // of the newest file
  Fd file_;
  std::string buffer_;
  std::size_t used_ = 0;  // of buffer_, by entries handed out
  std::uint64_t offset_ = 0;
};

// Wakes when the file changes, or another one takes its place.
class FileWatch {
 public:
  [[nodiscard]] static Result<FileWatch> open(const boost::asio::any_io_executor& executor,
                                              const std::filesystem::path& path);
  // Until it has changed since the last call.
  [[nodiscard]] boost::asio::awaitable<void> wait();
  void close();

 private:
  explicit FileWatch(boost::asio::posix::stream_descriptor inotify)
      : inotify_(std::move(inotify)) {}
  boost::asio::posix::stream_descriptor inotify_;
};

}  // namespace lab::engine::container
