// The server's side of WebSockets (RFC 6455) for attach: a connection whose messages are a byte
// stream both ways.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <memory>

#include "base/error.hpp"
#include "base/http_server.hpp"
#include "base/stream.hpp"

namespace lab::engine::api {

enum class WebSocketPayload : std::uint8_t { text = 1, binary = 2 };

// Over a connection whose handshake is done. What is read are the contents of the messages one
// after another; each write is one message. Pings are answered while somebody reads. The end of
// writing is a close frame.
[[nodiscard]] std::shared_ptr<Stream> make_web_socket(StreamPtr connection,
                                                      WebSocketPayload payload);

// Answers the client's handshake. A request that is none gets status 400 and is
// Code::invalid_argument.
[[nodiscard]] boost::asio::awaitable<Result<std::shared_ptr<Stream>>> hijack_web_socket(
    http::Exchange& exchange, WebSocketPayload payload);

}  // namespace lab::engine::api
