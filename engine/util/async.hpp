// Waiting between coroutines of one event loop: a broadcast signal, a mutex that may be held across
// co_await, and an owner for background coroutines.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>
#include <list>
#include <memory>
#include <string>
#include <utility>

#include "base/clock.hpp"

namespace lab::engine {

// A condition variable for coroutines: wait() resumes at the next notify_all(). Wakes may be
// spurious, so waiters check their condition in a loop.
class Signal {
 public:
  explicit Signal(boost::asio::any_io_executor executor) : executor_(std::move(executor)) {}
  Signal(const Signal&) = delete;
  Signal& operator=(const Signal&) = delete;

  [[nodiscard]] boost::asio::awaitable<void> wait() { return wait_until(TimePoint::max()); }
  [[nodiscard]] boost::asio::awaitable<void> wait_until(TimePoint deadline);
  void notify_all();

 private:
  struct Entry;
  boost::asio::any_io_executor executor_;
  std::list<boost::asio::steady_timer*> waiters_;
};

class AsyncMutex {
 public:
  explicit AsyncMutex(boost::asio::any_io_executor executor) : freed_(std::move(executor)) {}

  class Lock {
   public:
    Lock() = default;
    explicit Lock(AsyncMutex& mutex) : mutex_(&mutex) {}
    Lock(Lock&& other) noexcept : mutex_(std::exchange(other.mutex_, nullptr)) {}
    Lock& operator=(Lock&& other) noexcept {
      unlock();
      mutex_ = std::exchange(other.mutex_, nullptr);
      return *this;
    }
    ~Lock() { unlock(); }
    void unlock();

   private:
    AsyncMutex* mutex_ = nullptr;
  };

  [[nodiscard]] boost::asio::awaitable<Lock> lock();

 private:
  bool locked_ = false;
  Signal freed_;
};

// Owns coroutines that nobody awaits. What they throw is logged with their name. They end when the
// event loop is destroyed.
class Background {
 public:
  explicit Background(boost::asio::any_io_executor executor) : executor_(std::move(executor)) {}
  void spawn(std::string name, boost::asio::awaitable<void> work);
  [[nodiscard]] const boost::asio::any_io_executor& executor() const { return executor_; }

 private:
  boost::asio::any_io_executor executor_;
};

}  // namespace lab::engine
