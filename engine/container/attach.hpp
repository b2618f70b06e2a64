// A client's connection to a container's (or an exec's) standard streams, through the monitor's
// attach socket.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <memory>
#include <string>
#include <string_view>

#include "base/error.hpp"
#include "base/file.hpp"
#include "base/stream.hpp"
#include "engine/util/async.hpp"

namespace lab::engine::container {

// Docker's stream frames: 1 standard output, 2 standard error.
inline constexpr int standard_output = 1;
inline constexpr int standard_error = 2;

// The 8-byte header and the data.
[[nodiscard]] std::string stream_frame(int stream, std::string_view data);

// Finds the detach sequence in what a user types. Keys that may begin it are held back until the
// next ones decide.
class DetachKeys {
 public:
  // "ctrl-p,ctrl-q", "ctrl-@", "a"; empty is the default. Code::invalid_argument.
  [[nodiscard]] static Result<DetachKeys> parse(std::string_view text);
  // What to pass on; `detached` becomes true when the sequence is complete.
  [[nodiscard]] std::string filter(std::string_view typed, bool& detached);

 private:
  std::string sequence_ = "\x10\x11";
  std::size_t matched_ = 0;
};

struct AttachOptions {
  bool standard_input = false;
  bool output = false;
  bool errors = false;
  bool terminal = false;  // detach keys count
  bool framed = false;    // output has the header of its stream before it
  DetachKeys detach_keys;
};

class AttachSession : public std::enable_shared_from_this<AttachSession> {
 public:
  AttachSession(const boost::asio::any_io_executor& executor, AttachOptions options)
      : options_(std::move(options)), socket_(executor), changed_(executor) {}

  // The monitor's socket is there.
  void connected(Fd socket);
  // It never will be.
  void abandon();

  // Carries bytes both ways until the process ends, the client goes or detaches. True: detached.
  // The client's connection stays open, for what has to happen before its end.
  [[nodiscard]] boost::asio::awaitable<bool> run(std::shared_ptr<Stream> client,
                                                 Background& background);
  // Whether run() has passed on any output.
  [[nodiscard]] bool has_carried() const { return carried_; }
  // Instead of run(): what the process writes on both streams until it ends. What is beyond the
  // limit is read and dropped.
  [[nodiscard]] boost::asio::awaitable<std::string> collect(std::size_t bytes_max);

 private:
  [[nodiscard]] boost::asio::awaitable<void> carry_input(std::shared_ptr<Stream> client);
  [[nodiscard]] boost::asio::awaitable<void> carry_output(std::shared_ptr<Stream> client);
  [[nodiscard]] boost::asio::awaitable<bool> wait_connected();
  [[nodiscard]] boost::asio::awaitable<bool> send_input(std::string bytes);
  void end();

  AttachOptions options_;
  boost::asio::posix::stream_descriptor socket_;
  Signal changed_;
  bool abandoned_ = false;
  bool detached_ = false;
  bool carried_ = false;
};

// Ends a client's hijacked connection after what was written has been read.
[[nodiscard]] boost::asio::awaitable<void> close_client(std::shared_ptr<Stream> client);

}  // namespace lab::engine::container
