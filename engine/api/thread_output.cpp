#include "engine/api/thread_output.hpp"

#include <boost/asio/post.hpp>
#include <condition_variable>
#include <mutex>

#include "engine/util/async.hpp"

namespace lab::engine::api {

struct ThreadOutput::State : std::enable_shared_from_this<State> {
  State(boost::asio::any_io_executor event_loop, std::size_t limit)
      : bytes_max(limit), executor(event_loop), readable(std::move(event_loop)) {}

  void wake_reader() {
    boost::asio::post(executor, [self = shared_from_this()] { self->readable.notify_all(); });
  }

  const std::size_t bytes_max;
  const boost::asio::any_io_executor executor;
  Signal readable;
  std::mutex mutex;
  std::condition_variable writable;
  std::string waiting;
  bool ended = false;
  bool given_up = false;
};

ThreadOutput::ThreadOutput(boost::asio::any_io_executor executor, std::size_t bytes_max)
    : state_(std::make_shared<State>(std::move(executor), bytes_max)) {}

Result<void> ThreadOutput::write(std::string_view bytes) {
  std::unique_lock lock(state_->mutex);
  state_->writable.wait(
      lock, [&] { return state_->given_up || state_->waiting.size() < state_->bytes_max; });
  if (state_->given_up) return Error{Code::cancelled, "the client has gone"};
  const bool was_empty = state_->waiting.empty();
  state_->waiting += bytes;
  if (was_empty) state_->wake_reader();
  return {};
}

void ThreadOutput::end() {
  const std::scoped_lock lock(state_->mutex);
  state_->ended = true;
  state_->wake_reader();
}

boost::asio::awaitable<std::string> ThreadOutput::next() {
  const std::shared_ptr<State> state = state_;
  while (true) {
    {
      const std::scoped_lock lock(state->mutex);
      if (!state->waiting.empty() || state->ended) {
        state->writable.notify_one();
        co_return std::exchange(state->waiting, {});
      }
    }
    co_await state->readable.wait();
  }
}

void ThreadOutput::give_up() {
  const std::scoped_lock lock(state_->mutex);
  state_->given_up = true;
  state_->writable.notify_one();
}

}  // namespace lab::engine::api
