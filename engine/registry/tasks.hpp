// Coordination of coroutines on one event loop, beside engine/util/async.hpp: a counted permit and
// a group that is waited for as a whole. Nothing here is thread-safe.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <exception>
#include <memory>
#include <utility>

#include "engine/util/async.hpp"

namespace lab::engine::registry {

[[nodiscard]] inline boost::asio::awaitable<void> pause(std::chrono::milliseconds time) {
  boost::asio::steady_timer timer(co_await boost::asio::this_coro::executor, time);
  co_await timer.async_wait(boost::asio::as_tuple(boost::asio::use_awaitable));
}

// At most `permits` holders at a time.
class Semaphore {
 public:
  Semaphore(boost::asio::any_io_executor executor, unsigned permits)
      : changed_(std::move(executor)), free_(permits) {}

  class Permit {
   public:
    explicit Permit(Semaphore& owner) : owner_(&owner) {}
    Permit(Permit&& other) noexcept : owner_(std::exchange(other.owner_, nullptr)) {}
    Permit& operator=(Permit&&) = delete;
    Permit(const Permit&) = delete;
    Permit& operator=(const Permit&) = delete;
    ~Permit() {
      if (owner_ == nullptr) return;
      ++owner_->free_;
      owner_->changed_.notify_all();
    }

   private:
    Semaphore* owner_;
  };

  [[nodiscard]] boost::asio::awaitable<Permit> acquire() {
    while (free_ == 0) co_await changed_.wait();
    --free_;
    co_return Permit(*this);
  }

 private:
  Signal changed_;
  unsigned free_;
};

// Coroutines started together; wait() before the group's end. An exception of one comes out of
// wait().
class TaskGroup {
 public:
  explicit TaskGroup(boost::asio::any_io_executor executor)
      : state_(std::make_shared<State>(std::move(executor))) {}

  void spawn(boost::asio::awaitable<void> task) {
    ++state_->running;
    boost::asio::co_spawn(state_->executor, std::move(task),
                          [state = state_](std::exception_ptr exception) {
                            if (exception && !state->exception) state->exception = exception;
                            --state->running;
                            state->ended.notify_all();
                          });
  }
  [[nodiscard]] boost::asio::awaitable<void> wait() {
    while (state_->running > 0) co_await state_->ended.wait();
    if (state_->exception) std::rethrow_exception(std::exchange(state_->exception, nullptr));
  }

 private:
  struct State {
    explicit State(boost::asio::any_io_executor event_loop)
        : executor(event_loop), ended(std::move(event_loop)) {}
    boost::asio::any_io_executor executor;
    Signal ended;
    int running = 0;
    std::exception_ptr exception;
  };
  std::shared_ptr<State> state_;
};

}  // namespace lab::engine::registry
