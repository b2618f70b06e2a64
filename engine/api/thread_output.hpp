// Bytes from a thread (an archive being written) to a coroutine (the answer to a request), with a
// limit on what waits between the two. registry::Pipe goes the other way.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <memory>
#include <string>
#include <string_view>

#include "base/error.hpp"

namespace lab::engine::api {

class ThreadOutput {
 public:
  ThreadOutput(boost::asio::any_io_executor executor, std::size_t bytes_max);

  // On the thread. Blocks while too much waits; fails once the reader has given up.
  [[nodiscard]] Result<void> write(std::string_view bytes);
  void end();

  // On the event loop: what has come; empty at the end.
  [[nodiscard]] boost::asio::awaitable<std::string> next();
  // The thread need not go on.
  void give_up();

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace lab::engine::api
