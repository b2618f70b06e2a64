// Coroutines beside each other on one event loop: a group that is awaited as a whole, and an event
// that several wait for.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <memory>
#include <optional>
#include <vector>

#include "base/error.hpp"

namespace lab::provision {

using Task = boost::asio::awaitable<Result<void>>;

// Happens once. Belongs to one event-loop thread.
class Event {
 public:
  explicit Event(const boost::asio::any_io_executor& executor);
  void fire();
  [[nodiscard]] bool fired() const { return fired_; }
  [[nodiscard]] boost::asio::awaitable<void> wait();

 private:
  boost::asio::steady_timer timer_;
  bool fired_ = false;
};

// Runs them all to their ends; the results are in the same order. An exception out of one (a bug)
// is rethrown after the others have ended.
[[nodiscard]] boost::asio::awaitable<std::vector<Result<void>>> run_all(std::vector<Task> tasks);

// Success, or all errors in one: the code of the first, a line for each.
[[nodiscard]] Result<void> joined_errors(const std::vector<Result<void>>& results);

}  // namespace lab::provision
