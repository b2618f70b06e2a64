// Bytes from a coroutine (a download) to a thread (the unpacking of a layer), with a limit on what
// waits between the two.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <memory>
#include <string>

#include "base/error.hpp"
#include "engine/layer/byte_source.hpp"

namespace lab::engine::registry {

class Pipe {
 public:
  Pipe(boost::asio::any_io_executor executor, std::size_t bytes_max);

  // On the event loop. Waits while the pipe is full; the error of fail_reader() comes out here.
  [[nodiscard]] boost::asio::awaitable<Result<void>> push(std::string bytes);
  // The end of the data; or the reader sees this error.
  void end();
  void fail(Error error);

  // On the thread. The reader gave up: the writer need not go on.
  void fail_reader(Error error);
  // How much the reader has taken.
  [[nodiscard]] std::uint64_t bytes_taken() const;

  // The reading end; the pipe outlives it.
  [[nodiscard]] layer::ByteSource& source();

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace lab::engine::registry
