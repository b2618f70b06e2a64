// What happened in the engine, for `docker events` and whoever else listens: the last events are
// kept, so that a listener can ask for a time in the past.
#pragma once

#include <boost/json/object.hpp>
#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.hpp"
#include "engine/util/async.hpp"

namespace lab::engine {

using Attributes = std::vector<std::pair<std::string, std::string>>;

struct Event {
  std::string type;    // "container", "image", "network", "volume"
  std::string action;  // "start", "exec_create: ls -l"
  std::string actor;   // the id
  Attributes attributes;
  WallTime time;
  std::uint64_t sequence = 0;
};

// As /events sends it.
[[nodiscard]] boost::json::object to_json(const Event& event);

// Docker's filters: name -> values, of which one has to fit, for every name.
using Filters = std::map<std::string, std::vector<std::string>>;
[[nodiscard]] bool matches(const Event& event, const Filters& filters);

class EventBus {
 public:
  EventBus(boost::asio::any_io_executor executor, const Clock& clock)
      : clock_(clock), added_(std::move(executor)) {}

  // On the event loop's thread.
  void emit(std::string type, std::string action, std::string actor, Attributes attributes);
  // Events with a sequence above `after`, oldest first.
  [[nodiscard]] std::vector<Event> since(std::uint64_t after) const;
  [[nodiscard]] std::uint64_t last_sequence() const { return sequence_; }
  // Notified at every emit().
  [[nodiscard]] Signal& added() { return added_; }

 private:
  const Clock& clock_;
  Signal added_;
  std::deque<Event> kept_;
  std::uint64_t sequence_ = 0;
};

}  // namespace lab::engine
