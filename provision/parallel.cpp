#include "provision/parallel.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace lab::provision {

namespace asio = boost::asio;

Event::Event(const asio::any_io_executor& executor) : timer_(executor) {
  timer_.expires_at(asio::steady_timer::time_point::max());
}

void Event::fire() {
  fired_ = true;
  timer_.cancel();
}

asio::awaitable<void> Event::wait() {
  if (!fired_) co_await timer_.async_wait(asio::as_tuple(asio::use_awaitable));
}

asio::awaitable<std::vector<Result<void>>> run_all(std::vector<Task> tasks) {
  asio::any_io_executor executor = co_await asio::this_coro::executor;
  std::vector<Result<void>> results(tasks.size());
  std::exception_ptr failure;
  Event finished(executor);
  std::size_t left = tasks.size();
  if (left == 0) finished.fire();
  for (std::size_t i = 0; i < tasks.size(); ++i) {
    asio::co_spawn(
        executor, std::move(tasks[i]),
        [&results, &failure, &finished, &left, i](std::exception_ptr error, Result<void> result) {
          if (error) failure = error;
          results[i] = std::move(result);
          if (--left == 0) finished.fire();
        });
  }
  co_await finished.wait();
  if (failure) std::rethrow_exception(failure);
  co_return results;
}

Result<void> joined_errors(const std::vector<Result<void>>& results) {
  std::optional<Error> joined;
  for (const Result<void>& result : results) {
    if (result) continue;
    if (!joined) {
      joined = result.error();
    } else {
      joined->message += "\n" + result.error().message;
    }
  }
  if (joined) return *joined;
  return {};
}

}  // namespace lab::provision
