#include "engine/network/dns/forward.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/connect.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/udp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

#include "base/deadline.hpp"
#include "base/random.hpp"

namespace lab::engine::network::dns {

namespace asio = boost::asio;
namespace ip = boost::asio::ip;

namespace {

constexpr auto awaiting = asio::as_tuple(asio::use_awaitable);
constexpr std::uint16_t server_port = 53;
constexpr std::chrono::seconds patience{4};

std::uint16_t random_id() {
  std::string bytes = secure_random_bytes(2);
  return static_cast<std::uint16_t>(static_cast<std::uint8_t>(bytes[0]) << 8 |
                                    static_cast<std::uint8_t>(bytes[1]));
}

// Each question has a socket, and so a port, of its own.
asio::awaitable<std::string> ask_over_udp(IpAddress server, const std::string& sent,
                                          const Query& query) {
  auto executor = co_await asio::this_coro::executor;
  ip::udp::socket socket(executor);
  Deadline deadline(executor, patience, [&socket] {
    boost::system::error_code ignored;
    socket.close(ignored);
  });
  boost::system::error_code failure;
  socket.connect(ip::udp::endpoint(server, server_port), failure);
  if (failure) co_return std::string();
  auto [unsent, count] = co_await socket.async_send(asio::buffer(sent), awaiting);
  if (unsent) co_return std::string();
  std::string answer(message_bytes_max, '\0');
  for (;;) {
    auto [unread, size] = co_await socket.async_receive(asio::buffer(answer), awaiting);
    if (unread) co_return std::string();
    std::string_view packet(answer.data(), size);
    if (answers(packet, sent, query)) co_return std::string(packet);
  }
}

asio::awaitable<std::string> ask_over_tcp(IpAddress server, const std::string& sent,
                                          const Query& query) {
  auto executor = co_await asio::this_coro::executor;
  ip::tcp::socket socket(executor);
  Deadline deadline(executor, patience, [&socket] {
    boost::system::error_code ignored;
    socket.close(ignored);
  });
  ip::tcp::endpoint endpoint(server, server_port);
  auto [unconnected] = co_await socket.async_connect(endpoint, awaiting);
  if (unconnected) co_return std::string();
  std::string framed{static_cast<char>(sent.size() >> 8), static_cast<char>(sent.size() & 0xff)};
  framed += sent;
  auto [unsent, count] = co_await asio::async_write(socket, asio::buffer(framed), awaiting);
  if (unsent) co_return std::string();
  std::uint8_t length[2] = {};
  auto [unread, size] = co_await asio::async_read(socket, asio::buffer(length), awaiting);
  if (unread) co_return std::string();
  std::string answer(static_cast<std::size_t>(length[0] << 8 | length[1]), '\0');
  auto [broken, got] = co_await asio::async_read(socket, asio::buffer(answer), awaiting);
  if (broken || !answers(answer, sent, query)) co_return std::string();
  co_return answer;
}

}  // namespace

asio::awaitable<std::string> ask_servers(std::vector<std::string> servers, std::string packet,
                                         Query query, bool stream) {
  std::string failed;
  for (const std::string& server : servers) {
    std::optional<IpAddress> address = parse_address(server);
    if (!address) continue;
    std::string sent = with_id(packet, random_id());
    std::string answer;
    if (stream) {
      answer = co_await ask_over_tcp(*address, sent, query);
    } else {
      answer = co_await ask_over_udp(*address, sent, query);
    }
    if (answer.empty()) continue;
    answer = with_id(answer, query.id);
    if (code_of(answer) != server_failure) co_return answer;
    failed = std::move(answer);
  }
  co_return failed;
}

}  // namespace lab::engine::network::dns
