#include "engine/util/async.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <exception>

#include "base/log.hpp"

namespace lab::engine {

namespace asio = boost::asio;

struct Signal::Entry {
  Entry(std::list<asio::steady_timer*>& list, asio::steady_timer* timer)
      : waiters(list), position(list.insert(list.end(), timer)) {}
  Entry(const Entry&) = delete;
  Entry& operator=(const Entry&) = delete;
  ~Entry() { waiters.erase(position); }
  std::list<asio::steady_timer*>& waiters;
  std::list<asio::steady_timer*>::iterator position;
};

asio::awaitable<void> Signal::wait_until(TimePoint deadline) {
  asio::steady_timer timer(executor_, deadline);
  Entry entry(waiters_, &timer);
  co_await timer.async_wait(asio::as_tuple(asio::use_awaitable));
}

void Signal::notify_all() {
  for (asio::steady_timer* timer : waiters_) timer->cancel();
}

void AsyncMutex::Lock::unlock() {
  if (AsyncMutex* mutex = std::exchange(mutex_, nullptr)) {
    mutex->locked_ = false;
    mutex->freed_.notify_all();
  }
}

asio::awaitable<AsyncMutex::Lock> AsyncMutex::lock() {
  while (locked_) co_await freed_.wait();
  locked_ = true;
  co_return Lock(*this);
}

void Background::spawn(std::string name, asio::awaitable<void> work) {
  asio::co_spawn(executor_, std::move(work), [name = std::move(name)](std::exception_ptr failure) {
    if (!failure) return;
    try {
      std::rethrow_exception(failure);
    } catch (const std::exception& error) {
      log::error("{}: {}", name, error.what());
    }
  });
}

}  // namespace lab::engine
