// One connection of the transport: a queue of frames with a coroutine that writes them. Private to
// this folder.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>
#include <memory>
#include <string>

#include "base/stream.hpp"
#include "swarm/proto/frame.pb.h"
#include "swarm/types.hpp"

namespace lab::swarm::transport {

class Connection {
 public:
  Connection(boost::asio::any_io_executor executor, Endpoint peer, std::size_t queue_bytes_max)
      : peer_(std::move(peer)), wake_(std::move(executor)), queue_bytes_max_(queue_bytes_max) {
    wake_.expires_at(boost::asio::steady_timer::time_point::max());
  }

  [[nodiscard]] const Endpoint& peer() const { return peer_; }
  [[nodiscard]] bool open() const { return !closed_ && !finishing_; }
  // False until the handshake is done; frames wait.
  [[nodiscard]] bool established() const { return stream_ != nullptr; }
  [[nodiscard]] Stream& stream() { return *stream_; }
  void establish(StreamPtr stream, Endpoint peer);

  // Drops the frame when too much waits already.
  void enqueue(const proto::Frame& frame);
  // What waits is lost. Idempotent.
  void close();
  // Writes what waits, takes nothing more, then closes.
  void finish();

  // Writes what is queued until the connection is closed or fails (then closes it).
  [[nodiscard]] static boost::asio::awaitable<void> run_writer(std::shared_ptr<Connection> self);
  // The next frame; an error closes nothing.
  [[nodiscard]] static boost::asio::awaitable<Result<proto::Frame>> read_frame(
      std::shared_ptr<Connection> self, std::size_t bytes_max);

 private:
  Endpoint peer_;
  StreamPtr stream_;
  boost::asio::steady_timer wake_;
  std::string queue_;
  std::size_t queue_bytes_max_;
  bool writing_ = false;
  bool finishing_ = false;
  bool closed_ = false;
};

using ConnectionPtr = std::shared_ptr<Connection>;

// TCP_NODELAY, keep-alive probes and the limit on unacknowledged data.
void tune_socket(int fd, std::chrono::milliseconds silence_timeout);

}  // namespace lab::swarm::transport
