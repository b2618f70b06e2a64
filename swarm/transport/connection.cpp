#include "swarm/transport/connection.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "base/log.hpp"

namespace lab::swarm::transport {

namespace asio = boost::asio;

namespace {

constexpr std::size_t length_bytes = 4;

void set_option(int fd, int level, int option, int value) {
  if (setsockopt(fd, level, option, &value, sizeof value) != 0)
    log::debug("socket option {} of level {}: {}", option, level, strerror(errno));
}

}  // namespace

void tune_socket(int fd, std::chrono::milliseconds silence_timeout) {
  if (fd < 0) return;
  set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
  set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, 2);
  set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, 1);
  set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, 5);
  set_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, static_cast<int>(silence_timeout.count()));
}

void Connection::establish(StreamPtr stream, Endpoint peer) {
  stream_ = std::move(stream);
  peer_ = std::move(peer);
}

void Connection::enqueue(const proto::Frame& frame) {
  if (!open()) return;
  std::size_t size = frame.ByteSizeLong();
  if (queue_.size() + size > queue_bytes_max_) {
    log::warning("dropping a message of {} bytes to {}: {} bytes wait already", size, peer_.address,
                 queue_.size());
    return;
  }
  for (int shift = 24; shift >= 0; shift -= 8) queue_ += static_cast<char>(size >> shift & 0xff);
  frame.AppendToString(&queue_);
  wake_.cancel();
}

void Connection::close() {
  if (closed_) return;
  closed_ = true;
  queue_.clear();
  wake_.cancel();
  if (stream_) stream_->close();
}

void Connection::finish() {
  if (queue_.empty() && !writing_) return close();
  if (!stream_) return close();
  finishing_ = true;
  wake_.cancel();
}

asio::awaitable<void> Connection::run_writer(std::shared_ptr<Connection> self) {
  while (!self->closed_) {
    if (self->queue_.empty()) {
      if (self->finishing_) break;
      co_await self->wake_.async_wait(asio::as_tuple(asio::use_awaitable));
      continue;
    }
    std::string bytes = std::move(self->queue_);
    self->queue_.clear();
    self->writing_ = true;
    Result<void> written = co_await self->stream_->write(bytes);
    self->writing_ = false;
    if (!written) {
      if (self->open()) log::debug("{}", written.error().message);
      break;
    }
  }
  self->close();
}

asio::awaitable<Result<proto::Frame>> Connection::read_frame(std::shared_ptr<Connection> self,
                                                             std::size_t bytes_max) {
  LAB_CO_TRY(std::string head, co_await read_exactly(*self->stream_, length_bytes));
  std::size_t size = 0;
  for (char byte : head) size = size << 8 | static_cast<unsigned char>(byte);
  if (size > bytes_max) {
    co_return make_error(Code::invalid_argument,
                         "a frame of {} bytes from {}; at most {} are taken", size,
                         self->peer_.address, bytes_max);
  }
  LAB_CO_TRY(std::string body, co_await read_exactly(*self->stream_, size));
  proto::Frame frame;
  if (!frame.ParseFromString(body)) {
    co_return make_error(Code::invalid_argument, "a frame of {} bytes from {} does not parse", size,
                         self->peer_.address);
  }
  co_return frame;
}

}  // namespace lab::swarm::transport
