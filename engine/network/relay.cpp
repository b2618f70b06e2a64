#include "engine/network/relay.hpp"

#include <sys/socket.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/udp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <cerrno>
#include <cstring>

#include "base/log.hpp"

namespace lab::engine::network {

namespace asio = boost::asio;
namespace ip = boost::asio::ip;

namespace {

constexpr auto awaiting = asio::as_tuple(asio::use_awaitable);
constexpr int backlog = 128;
constexpr std::size_t datagram_bytes_max = 65535;
constexpr std::size_t sessions_max = 1024;
// Docker's: a client of UDP that is silent this long is forgotten.
constexpr std::chrono::seconds session_idle{90};
constexpr std::chrono::milliseconds accept_pause{100};

// One direction, to its end.
asio::awaitable<void> carry(ip::tcp::socket& from, ip::tcp::socket& to) {
  std::string buffer(65536, '\0');
  boost::system::error_code ignored;
  for (;;) {
    auto [end, size] = co_await from.async_read_some(asio::buffer(buffer), awaiting);
    if (end) break;
    auto [broken, sent] = co_await asio::async_write(to, asio::buffer(buffer, size), awaiting);
    if (broken) break;
  }
  to.shutdown(ip::tcp::socket::shutdown_send, ignored);
}

asio::awaitable<void> carry_stream(std::shared_ptr<ip::tcp::socket> client,
                                   ip::tcp::endpoint target) {
  using namespace asio::experimental::awaitable_operators;
  ip::tcp::socket server(client->get_executor());
  auto [failure] = co_await server.async_connect(target, awaiting);
  if (failure) co_return;
  co_await (carry(*client, server) && carry(server, *client));
}

}  // namespace

bool needs_relay(const PortMapping& port) {
  if (port.host_address.is_v4() || port.protocol == "sctp") return false;
  return port.container_address.is_v4() || port.host_address.is_unspecified() ||
         port.host_address.is_loopback();
}

struct Relays::Relay {
  Relay(const asio::any_io_executor& executor, const PortMapping& port)
      : mapping(port), acceptor(executor), datagrams(executor) {}

  // A client of UDP: what the container answers comes to a socket of its own.
  struct Session {
    explicit Session(const asio::any_io_executor& executor) : socket(executor), timer(executor) {}
    ip::udp::socket socket;
    asio::steady_timer timer;
  };

  PortMapping mapping;
  ip::tcp::acceptor acceptor;
  ip::udp::socket datagrams;
  std::map<ip::udp::endpoint, std::shared_ptr<Session>> sessions;
  bool stopped = false;

  void close() {
    boost::system::error_code ignored;
    stopped = true;
    acceptor.close(ignored);
    datagrams.close(ignored);
    for (auto& [client, session] : sessions) session->socket.close(ignored);
  }

  // Until the client has been silent for long.
  static asio::awaitable<void> carry_answers(std::shared_ptr<Relay> relay,
                                             std::shared_ptr<Session> session,
                                             ip::udp::endpoint client) {
    using namespace asio::experimental::awaitable_operators;
    std::string buffer(datagram_bytes_max, '\0');
    for (;;) {
      session->timer.expires_after(session_idle);
      auto first = co_await (session->socket.async_receive(asio::buffer(buffer), awaiting) ||
                             session->timer.async_wait(awaiting));
      if (relay->stopped || first.index() == 1) break;
      auto [failure, size] = std::get<0>(first);
      if (failure) break;
      boost::system::error_code ignored;
      relay->datagrams.send_to(asio::buffer(buffer, size), client, 0, ignored);
    }
    relay->sessions.erase(client);
  }
};

Relays::~Relays() {
  for (const auto& [key, relay] : relays_) relay->close();
}

void Relays::start(const PortMapping& port, Fd socket) {
  if (!socket || !needs_relay(port)) return;
  stop(port);
  auto relay = std::make_shared<Relay>(background_.executor(), port);
  boost::system::error_code failure;
  if (port.protocol == "udp") {
    relay->datagrams.assign(ip::udp::v6(), socket.release(), failure);
    if (!failure) background_.spawn("a relay of datagrams", carry_datagrams(relay));
  } else {
    if (listen(socket.get(), backlog) != 0) {
      log::warning("relay on port {}: {}", port.host_port, std::strerror(errno));
      return;
    }
    relay->acceptor.assign(ip::tcp::v6(), socket.release(), failure);
    if (!failure) background_.spawn("a relay of connections", accept_streams(relay));
  }
  if (failure) log::warning("relay on port {}: {}", port.host_port, failure.message());
  relays_[Key{port.protocol, port.host_address, port.host_port}] = std::move(relay);
}

void Relays::stop(const PortMapping& port) {
  auto found = relays_.find(Key{port.protocol, port.host_address, port.host_port});
  if (found == relays_.end()) return;
  found->second->close();
  relays_.erase(found);
}

asio::awaitable<void> Relays::accept_streams(RelayPtr relay) {
  ip::tcp::endpoint target(relay->mapping.container_address, relay->mapping.container_port);
  while (!relay->stopped) {
    auto client = std::make_shared<ip::tcp::socket>(background_.executor());
    auto [failure] = co_await relay->acceptor.async_accept(*client, awaiting);
    if (failure == asio::error::operation_aborted || relay->stopped) co_return;
    if (failure) {  // out of descriptors
      asio::steady_timer pause(background_.executor(), accept_pause);
      co_await pause.async_wait(awaiting);
      continue;
    }
    background_.spawn("a relayed connection", carry_stream(client, target));
  }
}

asio::awaitable<void> Relays::carry_datagrams(RelayPtr relay) {
  ip::udp::endpoint target(relay->mapping.container_address, relay->mapping.container_port);
  std::string buffer(datagram_bytes_max, '\0');
  while (!relay->stopped) {
    ip::udp::endpoint client;
    auto [failure, size] =
        co_await relay->datagrams.async_receive_from(asio::buffer(buffer), client, awaiting);
    if (failure == asio::error::operation_aborted || relay->stopped) co_return;
    if (failure) continue;
    std::shared_ptr<Relay::Session>& session = relay->sessions[client];
    boost::system::error_code error;
    if (!session && relay->sessions.size() <= sessions_max) {
      session = std::make_shared<Relay::Session>(background_.executor());
      session->socket.connect(target, error);
      background_.spawn("a relayed client", Relay::carry_answers(relay, session, client));
    }
    if (!session)
      relay->sessions.erase(client);
    else
      session->socket.send(asio::buffer(buffer, size), 0, error);
  }
}

}  // namespace lab::engine::network
