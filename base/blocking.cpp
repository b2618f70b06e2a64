#include "base/blocking.hpp"

#include <boost/asio/async_result.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace lab {

namespace {

// Threads spend their time waiting, not computing, so there are more of them than cores.
boost::asio::thread_pool& pool() {
  static boost::asio::thread_pool threads(16);
  return threads;
}

}  // namespace

boost::asio::awaitable<void> run_on_pool(std::function<void()> work) {
  co_await boost::asio::async_initiate<decltype(boost::asio::use_awaitable), void()>(
      [](auto handler, std::function<void()> task) {
        auto executor = boost::asio::get_associated_executor(handler);
        auto keep_loop_running = boost::asio::make_work_guard(executor);
        boost::asio::post(pool(), [handler = std::move(handler), task = std::move(task), executor,
                                   keep = std::move(keep_loop_running)]() mutable {
          task();
          boost::asio::post(executor, std::move(handler));
        });
      },
      boost::asio::use_awaitable, std::move(work));
}

}  // namespace lab
