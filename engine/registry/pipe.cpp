#include "engine/registry/pipe.hpp"

#include <boost/asio/post.hpp>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <mutex>

#include "engine/util/async.hpp"

namespace lab::engine::registry {

struct Pipe::State final : layer::ByteSource, std::enable_shared_from_this<Pipe::State> {
  State(boost::asio::any_io_executor event_loop, std::size_t limit)
      : bytes_max(limit), executor(event_loop), writable(std::move(event_loop)) {}

  Result<std::size_t> read(char* buffer, std::size_t size) override {
    std::unique_lock lock(mutex);
    readable.wait(lock, [this] { return !pieces.empty() || ended || error; });
    if (error) return *error;
    if (pieces.empty()) return std::size_t{0};
    std::string& piece = pieces.front();
    const std::size_t count = std::min(size, piece.size() - offset);
    std::memcpy(buffer, piece.data() + offset, count);
    offset += count;
    if (offset == piece.size()) {
      pieces.pop_front();
      offset = 0;
    }
    const bool was_full = held >= bytes_max;
    held -= count;
    taken += count;
    // Half empty before the writer is woken: fewer switches between the threads.
    if (was_full || held + count > bytes_max / 2) wake_writer();
    return count;
  }

  void wake_writer() {
    if (held > bytes_max / 2) return;
    boost::asio::post(executor, [self = shared_from_this()] { self->writable.notify_all(); });
  }

  const std::size_t bytes_max;
  const boost::asio::any_io_executor executor;
  std::mutex mutex;
  std::condition_variable readable;
  Signal writable;
  std::deque<std::string> pieces;
  std::size_t offset = 0;  // read of the first piece
  std::size_t held = 0;
  std::uint64_t taken = 0;
  bool ended = false;
  std::optional<Error> error;
  std::optional<Error> reader_error;
};

Pipe::Pipe(boost::asio::any_io_executor executor, std::size_t bytes_max)
    : state_(std::make_shared<State>(std::move(executor), bytes_max)) {}

boost::asio::awaitable<Result<void>> Pipe::push(std::string bytes) {
  const std::shared_ptr<State> state = state_;
  while (true) {
    {
      const std::scoped_lock lock(state->mutex);
      if (state->reader_error) co_return *state->reader_error;
      if (state->held < state->bytes_max) {
        state->held += bytes.size();
        state->pieces.push_back(std::move(bytes));
        break;
      }
    }
    co_await state->writable.wait();
  }
  state->readable.notify_one();
  co_return Result<void>{};
}

void Pipe::end() {
  const std::scoped_lock lock(state_->mutex);
  state_->ended = true;
  state_->readable.notify_one();
}

void Pipe::fail(Error error) {
  const std::scoped_lock lock(state_->mutex);
  if (!state_->ended) state_->error = std::move(error);
  state_->readable.notify_one();
}

void Pipe::fail_reader(Error error) {
  const std::scoped_lock lock(state_->mutex);
  state_->reader_error = std::move(error);
  boost::asio::post(state_->executor, [state = state_] { state->writable.notify_all(); });
}

std::uint64_t Pipe::bytes_taken() const {
  const std::scoped_lock lock(state_->mutex);
  return state_->taken;
}

layer::ByteSource& Pipe::source() { return *state_; }

}  // namespace lab::engine::registry
