// What the stream implementations (stream.cpp, tls.cpp) share: error texts and connecting. Not for
// other folders.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/system/error_code.hpp>
#include <chrono>
#include <string>
#include <string_view>

#include "base/error.hpp"

namespace lab {

[[nodiscard]] Error stream_error(boost::system::error_code error, std::string_view doing,
                                 std::string_view peer);
// End of stream is 0 bytes, everything else an error.
[[nodiscard]] Result<std::size_t> read_error(boost::system::error_code error,
                                             std::string_view peer);
[[nodiscard]] std::string describe_peer(
    const boost::asio::generic::stream_protocol::socket& socket);
[[nodiscard]] boost::asio::awaitable<Result<boost::asio::generic::stream_protocol::socket>>
connect_tcp_socket(std::string host, std::uint16_t port, std::chrono::milliseconds timeout);

}  // namespace lab
