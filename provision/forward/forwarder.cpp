#include "provision/forward/forwarder.hpp"

#include <sys/socket.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <list>

#include "base/clock.hpp"
#include "base/deadline.hpp"
#include "base/log.hpp"
#include "base/stream.hpp"

namespace lab::provision {

namespace asio = boost::asio;
using asio::ip::tcp;
using std::chrono::milliseconds;

namespace {

constexpr auto awaiting = asio::as_tuple(asio::use_awaitable);
constexpr std::size_t piece_bytes = 64 * 1024;
constexpr milliseconds connect_time(10'000);
// The emulator listens with a backlog of one, and the kernel drops what comes beyond it; TCP itself
// would try again after a whole second. A connection on the loopback is made at once or not at all.
constexpr milliseconds patience_first(10);
constexpr milliseconds patience_longest(160);

Error socket_error(const boost::system::error_code& error, std::string_view doing) {
  return errno_error(error.value(), doing);
}

asio::awaitable<Result<StreamPtr>> connect_once(Forwarder::Way way, milliseconds patience) {
  auto executor = co_await asio::this_coro::executor;
  tcp::socket socket(executor);
  boost::system::error_code error;
  const tcp::endpoint endpoint(asio::ip::make_address(way.address, error), way.port);
  Deadline deadline(executor, patience, [&socket] {
    boost::system::error_code ignored;
    socket.close(ignored);
  });
  std::tie(error) = co_await socket.async_connect(endpoint, awaiting);
  if (deadline.end()) co_return make_error(Code::deadline_exceeded, "no answer in time");
  if (error) co_return socket_error(error, "connecting to its emulator");
  socket.set_option(tcp::no_delay(true), error);
  co_return make_stream(std::move(socket));
}

// So that the peer is told by a reset, not by an end that looks like success.
void reset(Stream& stream) {
  const linger at_once{1, 0};
  (void)setsockopt(stream.native_handle(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  stream.close();
}

// One port of the host. Shared with its connections, which may outlive it.
struct Listener {
  Listener(const asio::any_io_executor& executor, Forward a_forward)
      : acceptor(executor), again(executor) {
    report.forward = std::move(a_forward);
  }

  tcp::acceptor acceptor;
  asio::steady_timer again;
  std::optional<Forwarder::Way> way;
  ForwardReport report;
};

struct Connection {
  StreamPtr client;
  StreamPtr machine;
  std::shared_ptr<Listener> listener;
  int directions = 2;

  void abort() const {
    reset(*client);
    reset(*machine);
  }
};

// Until the end of `from`, which is passed on; whatever goes wrong ends both directions.
asio::awaitable<void> pump(Connection& connection, Stream& from, Stream& to, std::uint64_t& bytes) {
  std::vector<char> piece(piece_bytes);
  for (;;) {
    const auto got = co_await from.read_some(asio::buffer(piece));
    if (!got) co_return connection.abort();
    if (*got == 0) break;
    const auto put = co_await to.write(std::string_view(piece.data(), *got));
    if (!put) co_return connection.abort();
    bytes += *got;
  }
  const auto ended = co_await to.shutdown_write();
  if (!ended) connection.abort();
}

Result<void> listen(Listener& listener) {
  const Forward& forward = listener.report.forward;
  const tcp::endpoint endpoint(asio::ip::address_v4::loopback(), forward.host_port);
  boost::system::error_code error;
  listener.acceptor.open(endpoint.protocol(), error);
  if (!error) listener.acceptor.set_option(asio::socket_base::reuse_address(true), error);
  if (!error) listener.acceptor.bind(endpoint, error);
  if (!error) listener.acceptor.listen(asio::socket_base::max_listen_connections, error);
  if (!error) return {};
  if (error == asio::error::address_in_use) return port_taken(forward);
  return socket_error(error, fmt::format("listening on 127.0.0.1:{}", forward.host_port));
}

}  // namespace

Error port_taken(const Forward& forward) {
  return make_error(Code::conflict,
                    "port {} of 127.0.0.1, which is to lead to {}:{}, is taken by another program; "
                    "end that or choose another port",
                    forward.host_port, forward.machine, forward.port);
}

struct Forwarder::Impl : std::enable_shared_from_this<Forwarder::Impl> {
  Impl(asio::any_io_executor an_executor, FindWay a_find_way)
      : executor(std::move(an_executor)), find_way(std::move(a_find_way)) {}

  asio::awaitable<void> accept_all(std::shared_ptr<Listener> listener);
  asio::awaitable<Result<StreamPtr>> reach(Listener& listener);
  void relay(std::shared_ptr<Listener> listener, StreamPtr client, StreamPtr machine);
  void spawn_pump(const std::shared_ptr<Connection>& connection, bool to_machine);
  // A coroutine's exception is a bug, which ends the process.
  void spawn(asio::awaitable<void> work, std::function<void()> afterwards) {
    asio::co_spawn(executor, std::move(work),
                   [self = shared_from_this(), afterwards](const std::exception_ptr& bug) {
                     if (bug) std::rethrow_exception(bug);
                     if (afterwards) afterwards();
                   });
  }

  asio::any_io_executor executor;
  FindWay find_way;
  SystemClock clock;
  std::vector<std::shared_ptr<Listener>> listeners;
  std::list<std::shared_ptr<Connection>> connections;
  bool stopped = false;
};

// One connection is made after the other: more than that the emulator does not take at once.
asio::awaitable<void> Forwarder::Impl::accept_all(std::shared_ptr<Listener> listener) {
  constexpr milliseconds out_of_descriptors(100);
  ForwardReport& report = listener->report;
  while (listener->acceptor.is_open()) {
    auto [error, socket] = co_await listener->acceptor.async_accept(awaiting);
    if (!listener->acceptor.is_open()) co_return;
    if (error) {
      listener->again.expires_after(out_of_descriptors);
      co_await listener->again.async_wait(awaiting);
      continue;
    }
    ++report.connections;
    boost::system::error_code ignored;
    socket.set_option(tcp::no_delay(true), ignored);
    StreamPtr client = make_stream(std::move(socket));
    auto machine = co_await reach(*listener);
    report.problem = machine ? "" : machine.error().message;
    if (stopped) co_return;
    if (machine) {
      relay(listener, std::move(client), std::move(*machine));
    } else {
      log::warning("127.0.0.1:{} -> {}:{}: {}", report.forward.host_port, report.forward.machine,
                   report.forward.port, report.problem);
      reset(*client);
    }
  }
}

asio::awaitable<Result<StreamPtr>> Forwarder::Impl::reach(Listener& listener) {
  const TimePoint give_up = clock.now() + connect_time;
  milliseconds patience = patience_first;
  bool found_now = false;
  for (;;) {
    if (!listener.way) {
      auto way = co_await find_way(listener.report.forward);
      if (!way) co_return way.error();
      listener.way = std::move(*way);
      found_now = true;
    }
    auto stream = co_await connect_once(*listener.way, patience);
    if (stream) co_return stream;
    const bool late = stream.error().code == Code::deadline_exceeded;
    if (late && clock.now() < give_up) {
      patience = std::min(2 * patience, patience_longest);
      continue;
    }
    listener.way.reset();  // the machine has another emulator now, or none
    if (late || found_now) co_return stream.error();
  }
}

void Forwarder::Impl::relay(std::shared_ptr<Listener> listener, StreamPtr client,
                            StreamPtr machine) {
  auto connection = std::make_shared<Connection>();
  connection->client = std::move(client);
  connection->machine = std::move(machine);
  connection->listener = std::move(listener);
  ++connection->listener->report.open;
  connections.push_back(connection);
  spawn_pump(connection, true);
  spawn_pump(connection, false);
}

void Forwarder::Impl::spawn_pump(const std::shared_ptr<Connection>& connection, bool to_machine) {
  Stream& client = *connection->client;
  Stream& machine = *connection->machine;
  ForwardReport& report = connection->listener->report;
  asio::awaitable<void> work = to_machine ? pump(*connection, client, machine, report.bytes_in)
                                          : pump(*connection, machine, client, report.bytes_out);
  spawn(std::move(work), [this, connection] {
    if (--connection->directions > 0) return;
    --connection->listener->report.open;
    connections.remove(connection);
  });
}

Forwarder::Forwarder(asio::any_io_executor executor, FindWay find_way)
    : impl_(std::make_shared<Impl>(std::move(executor), std::move(find_way))) {}

Forwarder::~Forwarder() { stop(); }

Result<void> Forwarder::set(const std::vector<Forward>& forwards) {
  std::vector<std::shared_ptr<Listener>> next;
  std::vector<std::shared_ptr<Listener>> opened;
  for (const Forward& forward : forwards) {
    const auto same =
        std::find_if(impl_->listeners.begin(), impl_->listeners.end(), [&](const auto& listener) {
          return listener->report.forward.host_port == forward.host_port;
        });
    if (same != impl_->listeners.end()) {
      next.push_back(*same);
      continue;
    }
    next.push_back(std::make_shared<Listener>(impl_->executor, forward));
    opened.push_back(next.back());
    LAB_CHECK(listen(*next.back()));
  }
  for (const auto& listener : impl_->listeners) {
    if (std::find(next.begin(), next.end(), listener) != next.end()) continue;
    boost::system::error_code ignored;
    listener->acceptor.close(ignored);
    listener->again.cancel();
  }
  for (std::size_t i = 0; i < next.size(); ++i) {
    if (next[i]->report.forward == forwards[i]) continue;
    next[i]->report.forward = forwards[i];  // the port leads elsewhere from now on
    next[i]->way.reset();
  }
  impl_->listeners = std::move(next);
  for (const auto& listener : opened) impl_->spawn(impl_->accept_all(listener), {});
  return {};
}

std::vector<ForwardReport> Forwarder::report() const {
  std::vector<ForwardReport> reports;
  for (const auto& listener : impl_->listeners) reports.push_back(listener->report);
  return reports;
}

void Forwarder::stop() {
  impl_->stopped = true;
  for (const auto& listener : impl_->listeners) {
    boost::system::error_code ignored;
    listener->acceptor.close(ignored);
    listener->again.cancel();
  }
  impl_->listeners.clear();
  for (const auto& connection : impl_->connections) connection->abort();
}

}  // namespace lab::provision
