// Bounds a container's log: `--log-opt max-size` and `max-file`. A full log "X-json.log" becomes
// "X-json.log.1", that ".2" and so on; the oldest goes.
//
// The monitor goes on writing to the renamed file until it has opened the new one, so nothing is
// lost. While we do not run nothing is rotated: a log may then grow past its limit until we are
// back.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/json/object.hpp>
#include <cstdint>
#include <filesystem>

#include "base/error.hpp"
#include "engine/util/async.hpp"

namespace lab::engine::container {

class Containers;
struct Container;

struct LogLimits {
  std::uint64_t size_bytes_max = 0;  // 0: no limit
  int files_max = 1;
};
// From LogConfig.Config. Sizes are decimal ("10k" is 10,000 bytes), as Docker's. `compress` is
// taken and rotated files stay as they are. Code::invalid_argument with Docker's texts.
[[nodiscard]] Result<LogLimits> parse_log_limits(const boost::json::object& options);

// The file of a log that `number` rotations have passed: 0 is the one being written.
[[nodiscard]] std::filesystem::path rotated_log(const std::filesystem::path& log, int number);
// Moves every file of the log one further; the newest is gone then.
[[nodiscard]] Result<void> rotate_log(const std::filesystem::path& log, int files_max);

class LogRotation {
 public:
  explicit LogRotation(Containers& containers);
  // Until this run of the container ends; nothing to do without a limit.
  void watch(const std::shared_ptr<Container>& container);

 private:
  [[nodiscard]] boost::asio::awaitable<void> rotate_while_running(
      std::shared_ptr<Container> container, LogLimits limits);

  Containers& containers_;
  Background background_;
};

}  // namespace lab::engine::container
