// What a pull or push tells its client: JSON objects, one a line, in the words that the docker
// command renders. Producers on the event loop add lines without waiting; one consumer takes them.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/json/object.hpp>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "base/clock.hpp"
#include "base/error.hpp"
#include "engine/util/async.hpp"

namespace lab::engine::registry {

// "[=====>      ]  3.679kB/32.59kB", as Docker draws it.
[[nodiscard]] std::string progress_bar(std::uint64_t current, std::uint64_t total);
// "3.679kB": decimal units, four digits.
[[nodiscard]] std::string human_size(double bytes);

class Progress {
 public:
  Progress(boost::asio::any_io_executor executor, const Clock& clock)
      : changed_(std::move(executor)), clock_(clock) {}

  // {"status":S} or {"status":S,"id":ID}
  void status(std::string_view text, std::string_view id = {});
  // {"status":S,"progressDetail":{},"id":ID}: the state of one layer.
  void layer(std::string_view text, std::string_view id);
  // The same with how far it is; at most ten a second of each layer and state, but always the last.
  void layer(std::string_view text, std::string_view id, std::uint64_t current,
             std::uint64_t total);
  void aux(boost::json::object value);
  void error(std::string_view message);
  void raw(const boost::json::object& line);

  // Something was said already, so that an error has to be said the same way.
  [[nodiscard]] bool started() const { return started_; }
  // No more lines will come.
  void finish();
  // The next lines, each ended by "\r\n"; empty at the end.
  [[nodiscard]] boost::asio::awaitable<std::string> next();
  // Waits until there is a line, or the end; true if there is a line.
  [[nodiscard]] boost::asio::awaitable<bool> any();

  // The client has gone: whoever works for it should stop.
  void abandon() { abandoned_ = true; }
  [[nodiscard]] bool abandoned() const { return abandoned_; }

 private:
  Signal changed_;
  const Clock& clock_;
  std::string pending_;
  bool started_ = false;
  bool finished_ = false;
  bool abandoned_ = false;
  std::map<std::string, TimePoint> last_;  // by layer and state
};

}  // namespace lab::engine::registry
