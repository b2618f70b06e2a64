// A time limit on an operation: runs `on_expiry` once if the limit passes before the object ends.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <utility>

namespace lab {

class Deadline {
 public:
  // A limit of zero never expires.
  Deadline(boost::asio::any_io_executor executor, std::chrono::milliseconds limit,
           std::function<void()> on_expiry)
      : state_(std::make_shared<State>()), timer_(std::move(executor)) {
    if (limit.count() == 0) return;
    timer_.expires_after(limit);
    // A cancelled timer's handler may already be queued: the shared state tells it that the object
    // is gone.
    timer_.async_wait(
        [state = state_, on_expiry = std::move(on_expiry)](boost::system::error_code error) {
          if (error || state->ended) return;
          state->expired = true;
          on_expiry();
        });
  }
  Deadline(const Deadline&) = delete;
  Deadline& operator=(const Deadline&) = delete;
  ~Deadline() { end(); }

  // Stops the clock; true if the limit had passed.
  bool end() {
    state_->ended = true;
    timer_.cancel();
    return state_->expired;
  }

 private:
  struct State {
    bool ended = false;
    bool expired = false;
  };
  std::shared_ptr<State> state_;
  boost::asio::steady_timer timer_;
};

}  // namespace lab
