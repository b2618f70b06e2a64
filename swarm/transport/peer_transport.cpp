#include "swarm/transport/peer_transport.hpp"

#include <boost/asio/ip/tcp.hpp>
#include <charconv>
#include <map>

#include "base/deadline.hpp"
#include "base/log.hpp"
#include "base/tls.hpp"
#include "base/x509.hpp"
#include "swarm/transport/connection.hpp"

namespace lab::swarm::transport {

namespace asio = boost::asio;
using asio::ip::tcp;

Result<HostPort> parse_address(const std::string& address) {
  std::size_t colon = address.rfind(':');
  HostPort result;
  if (colon == std::string::npos || colon == 0)
    return make_error(Code::invalid_argument, "address \"{}\" is not HOST:PORT", address);
  result.host = address.substr(0, colon);
  const char* end = address.data() + address.size();
  auto [rest, error] = std::from_chars(address.data() + colon + 1, end, result.port);
  if (error != std::errc{} || rest != end || result.port == 0)
    return make_error(Code::invalid_argument, "address \"{}\" has no valid port", address);
  if (result.host.front() == '[' && result.host.back() == ']')
    result.host = result.host.substr(1, result.host.size() - 2);
  return result;
}

struct PeerTransport::Impl : std::enable_shared_from_this<PeerTransport::Impl> {
  Impl(asio::any_io_executor executor_in, const Clock& clock_in, Callbacks callbacks_in,
       Options options_in)
      : executor(std::move(executor_in)),
        clock(clock_in),
        callbacks(std::move(callbacks_in)),
        options(options_in) {}

  asio::any_io_executor executor;
  const Clock& clock;
  Callbacks callbacks;
  Options options;

  std::optional<ca::Identity> identity;
  ca::NodeCertificate own;
  std::optional<tls::Context> client_context;
  std::optional<tls::Context> server_context;
  std::optional<ca::JoinToken> pin;

  std::shared_ptr<tcp::acceptor> acceptor;
  std::map<std::uint64_t, ConnectionPtr> connections;
  std::uint64_t next_connection = 1;
  std::map<std::string, TimePoint> failed_dials;  // by address
  // When something that repeats was last said, by what it is about.
  mutable std::map<std::string, TimePoint> said;
  bool stopped = false;

  void spawn(asio::awaitable<void> work);
  [[nodiscard]] bool say_now(const std::string& subject) const;
  [[nodiscard]] Result<void> make_contexts(const ca::Identity& with);
  [[nodiscard]] bool admit(const std::string& certificate_pem) const;
  [[nodiscard]] ConnectionPtr find(const Endpoint& to) const;
  [[nodiscard]] ConnectionPtr add(Endpoint peer);
  void remove(const ConnectionPtr& connection);
  void finish_all();

  [[nodiscard]] Result<void> identify(Stream& stream, Endpoint& peer) const;
  static asio::awaitable<void> accept_loop(std::shared_ptr<Impl> self,
                                           std::shared_ptr<tcp::acceptor> from);
  static asio::awaitable<void> serve(std::shared_ptr<Impl> self, tcp::socket socket);
  static asio::awaitable<void> dial(std::shared_ptr<Impl> self, ConnectionPtr connection);
  static asio::awaitable<Result<StreamPtr>> connect(std::shared_ptr<Impl> self, HostPort to);
  static asio::awaitable<Result<void>> check_pinned(std::shared_ptr<Impl> self,
                                                    ConnectionPtr connection, ca::JoinToken token);
  static asio::awaitable<void> read_loop(std::shared_ptr<Impl> self, ConnectionPtr connection);
  void handle(const ConnectionPtr& connection, proto::Frame frame);
};

void PeerTransport::Impl::spawn(asio::awaitable<void> work) {
  asio::co_spawn(executor, std::move(work), [](std::exception_ptr exception) {
    if (!exception) return;
    try {
      std::rethrow_exception(exception);
    } catch (const std::exception& error) {
      log::error("connection between nodes: {}", error.what());
    }
  });
}

// Peers that are away or refused come back twice a second: they are worth a line a minute.
bool PeerTransport::Impl::say_now(const std::string& subject) const {
  TimePoint now = clock.now();
  if (said.size() > 1000) said.clear();
  auto [place, fresh] = said.try_emplace(subject, now);
  if (!fresh && now < place->second + std::chrono::minutes(1)) return false;
  place->second = now;
  return true;
}

// ---- Identity

// The peer's chain is verified by TLS; this is the rest: a node of our swarm, and let in.
bool PeerTransport::Impl::admit(const std::string& certificate_pem) const {
  Result<ca::NodeCertificate> peer = ca::parse_node_certificate(certificate_pem);
  if (!peer) {
    log::warning("refusing a connection: {}", peer.error().message);
    return false;
  }
  if (peer->cluster_id != own.cluster_id) {
    if (say_now(peer->node_id))
      log::warning("refusing node {} of another swarm, {}", peer->node_id, peer->cluster_id);
    return false;
  }
  if (!callbacks.admitted(peer->node_id)) {
    if (say_now(peer->node_id))
      log::warning("refusing node {}: it was removed from the swarm", peer->node_id);
    return false;
  }
  return true;
}

Result<void> PeerTransport::Impl::make_contexts(const ca::Identity& with) {
  LAB_TRY(own, ca::parse_node_certificate(with.certificate_pem));
  tls::Options tls_options;
  tls_options.certificate_pem = with.certificate_pem;
  tls_options.private_key_pem = with.key_pem;
  tls_options.authorities_pem = {with.root_certificate_pem};
  tls_options.tls13_only = true;
  tls_options.require_peer_certificate = true;
  tls_options.accept_peer_without_certificate = own.role == proto::ROLE_MANAGER;
  tls_options.verify_peer = [weak = weak_from_this()](const std::string& certificate_pem) {
    std::shared_ptr<Impl> self = weak.lock();
    return self && self->admit(certificate_pem);
  };
  LAB_TRY(client_context, tls::Context::client(tls_options));
  LAB_TRY(server_context, tls::Context::server(tls_options));
  return {};
}

// Fills in who the peer is, from its certificate.
Result<void> PeerTransport::Impl::identify(Stream& stream, Endpoint& peer) const {
  std::string certificate_pem = stream.peer_certificate_pem();
  if (certificate_pem.empty()) return {};
  LAB_TRY(ca::NodeCertificate certificate, ca::parse_node_certificate(certificate_pem));
  if (!peer.node_id.empty() && peer.node_id != certificate.node_id) {
    return make_error(Code::unauthorized, "{} is node {}, not {}", peer.address,
                      certificate.node_id, peer.node_id);
  }
  if (identity && certificate.node_id == own.node_id)
    return make_error(Code::unauthorized, "{} is this node itself", peer.address);
  peer.node_id = certificate.node_id;
  peer.role = certificate.role;
  return {};
}

// ---- Connections

ConnectionPtr PeerTransport::Impl::add(Endpoint peer) {
  peer.connection = next_connection++;
  std::uint64_t id = peer.connection;
  auto connection =
      std::make_shared<Connection>(executor, std::move(peer), options.queue_bytes_max);
  connections.emplace(id, connection);
  return connection;
}

void PeerTransport::Impl::remove(const ConnectionPtr& connection) {
  connection->close();
  connections.erase(connection->peer().connection);
}

void PeerTransport::Impl::finish_all() {
  auto closing = std::exchange(connections, {});
  for (auto& [id, connection] : closing) connection->finish();
}

// The newest connection with the receiver: an older one may be one that its peer has given up.
ConnectionPtr PeerTransport::Impl::find(const Endpoint& to) const {
  if (to.connection != 0) {
    auto found = connections.find(to.connection);
    return found == connections.end() ? nullptr : found->second;
  }
  for (auto it = connections.rbegin(); it != connections.rend(); ++it) {
    const Connection& candidate = *it->second;
    if (!candidate.open()) continue;
    if (to.node_id.empty() ? candidate.peer().address == to.address
                           : candidate.peer().node_id == to.node_id) {
      return it->second;
    }
  }
  return nullptr;
}

asio::awaitable<void> PeerTransport::Impl::accept_loop(std::shared_ptr<Impl> self,
                                                       std::shared_ptr<tcp::acceptor> from) {
  while (from->is_open()) {
    auto [error, socket] = co_await from->async_accept(asio::as_tuple(asio::use_awaitable));
    if (!from->is_open()) co_return;
    if (error) {
      // Out of descriptors, most likely: let some be closed first.
      log::warning("accepting connections: {}", error.message());
      asio::steady_timer pause(self->executor, std::chrono::milliseconds(100));
      co_await pause.async_wait(asio::as_tuple(asio::use_awaitable));
      continue;
    }
    self->spawn(serve(self, std::move(socket)));
  }
}

asio::awaitable<void> PeerTransport::Impl::serve(std::shared_ptr<Impl> self, tcp::socket socket) {
  if (!self->server_context) co_return;
  tls::Context context = *self->server_context;
  tune_socket(socket.native_handle(), self->options.silence_timeout);
  asio::generic::stream_protocol::socket generic(std::move(socket));
  Result<StreamPtr> stream =
      co_await tls::accept(std::move(generic), context, self->options.handshake_timeout);
  if (!stream) {
    log::debug("{}", stream.error().message);
    co_return;
  }
  // The identity may have changed during the handshake.
  if (self->stopped || !self->server_context || &self->server_context->impl() != &context.impl())
    co_return;
  Endpoint peer{.address = (*stream)->peer_address()};
  if (Result<void> known = self->identify(**stream, peer); !known) {
    log::warning("{}", known.error().message);
    co_return;
  }
  ConnectionPtr connection = self->add(peer);
  connection->establish(std::move(*stream), connection->peer());
  self->spawn(Connection::run_writer(connection));
  bool anonymous = peer.node_id.empty();
  Deadline lifetime(self->executor,
                    anonymous ? self->options.anonymous_lifetime : std::chrono::milliseconds(0),
                    [connection] { connection->close(); });
  co_await read_loop(self, connection);
}

asio::awaitable<Result<StreamPtr>> PeerTransport::Impl::connect(std::shared_ptr<Impl> self,
                                                                HostPort to) {
  if (self->client_context) {
    tls::Context context = *self->client_context;
    co_return co_await tls::connect_tcp(to.host, to.port, context, "",
                                        self->options.connect_timeout);
  }
  // Nothing is believed yet: check_pinned() decides before anything is said.
  tls::Options tls_options;
  tls_options.tls13_only = true;
  tls_options.insecure = true;
  LAB_CO_TRY(tls::Context context, tls::Context::client(tls_options));
  co_return co_await tls::connect_tcp(to.host, to.port, context, "", self->options.connect_timeout);
}

asio::awaitable<void> PeerTransport::Impl::dial(std::shared_ptr<Impl> self,
                                                ConnectionPtr connection) {
  Endpoint peer = connection->peer();
  std::optional<ca::JoinToken> token = self->identity ? std::nullopt : self->pin;
  Result<void> result;
  Result<HostPort> target = parse_address(peer.address);
  if (!target) {
    result = target.error();
  } else {
    Result<StreamPtr> stream = co_await connect(self, *target);
    if (!connection->open()) co_return;
    if (stream) {
      tune_socket((*stream)->native_handle(), self->options.silence_timeout);
      bool any_manager = peer.node_id.empty();
      result = self->identify(**stream, peer);
      if (result && any_manager && peer.role != proto::ROLE_MANAGER)
        result = make_error(Code::unauthorized, "{} is not a manager", peer.address);
      if (result) connection->establish(std::move(*stream), peer);
      if (result && token) result = co_await check_pinned(self, connection, *token);
    } else {
      result = stream.error();
    }
  }
  if (!connection->open()) co_return;
  if (!result) {
    if (self->say_now(connection->peer().address))
      log::info("no connection with {}: {}", connection->peer().address, result.error().message);
    self->failed_dials[connection->peer().address] = self->clock.now();
    std::string address = connection->peer().address;
    self->remove(connection);
    if (self->callbacks.failed) self->callbacks.failed(address, result.error());
    co_return;
  }
  if (self->said.erase(connection->peer().address) > 0)
    log::info("connected with {} again", connection->peer().address);
  self->spawn(Connection::run_writer(connection));
  co_await read_loop(self, connection);
}

// Asks for the root certificate, compares it with the token, and the peer's certificate with it.
// The handshake has proved that the peer holds the key of that certificate.
asio::awaitable<Result<void>> PeerTransport::Impl::check_pinned(std::shared_ptr<Impl> self,
                                                                ConnectionPtr connection,
                                                                ca::JoinToken token) {
  Deadline deadline(self->executor, self->options.handshake_timeout,
                    [connection] { connection->stream().close(); });
  proto::Frame request;
  request.mutable_root_request();
  std::string bytes(4, '\0');
  bytes[3] = static_cast<char>(request.ByteSizeLong());
  request.AppendToString(&bytes);
  LAB_CO_CHECK(co_await connection->stream().write(bytes));
  LAB_CO_TRY(proto::Frame answer,
             co_await Connection::read_frame(connection, self->options.anonymous_frame_bytes_max));
  const std::string& root = answer.root_answer().certificate_pem();
  LAB_CO_CHECK(ca::check_root(token, root));
  co_return x509::verify_chain(connection->stream().peer_certificate_pem(), {root},
                               self->clock.wall_now());
}

asio::awaitable<void> PeerTransport::Impl::read_loop(std::shared_ptr<Impl> self,
                                                     ConnectionPtr connection) {
  const Endpoint& peer = connection->peer();
  std::size_t bytes_max = peer.node_id.empty() ? self->options.anonymous_frame_bytes_max
                          : peer.role == proto::ROLE_MANAGER ? self->options.frame_bytes_max
                                                             : self->options.worker_frame_bytes_max;
  for (;;) {
    Result<proto::Frame> frame = co_await Connection::read_frame(connection, bytes_max);
    if (!frame) {
      if (!connection->open()) break;
      if (frame.error().code == Code::invalid_argument) {
        log::warning("{}", frame.error().message);
      } else {
        log::debug("connection with {} ended: {}", connection->peer().address,
                   frame.error().message);
      }
      break;
    }
    // One that is being finished is read on until its queue is written.
    if (connection->open()) self->handle(connection, std::move(*frame));
  }
  self->remove(connection);
}

void PeerTransport::Impl::handle(const ConnectionPtr& connection, proto::Frame frame) {
  if (frame.has_root_request() && identity && own.role == proto::ROLE_MANAGER) {
    proto::Frame answer;
    answer.mutable_root_answer()->set_certificate_pem(identity->root_certificate_pem);
    connection->enqueue(answer);
  } else if (frame.has_envelope()) {
    callbacks.received(connection->peer(), std::move(*frame.mutable_envelope()));
  }
}

// ---- The public face

PeerTransport::PeerTransport(asio::any_io_executor executor, const Clock& clock,
                             Callbacks callbacks, Options options)
    : impl_(std::make_shared<Impl>(std::move(executor), clock, std::move(callbacks), options)) {}

PeerTransport::~PeerTransport() { stop(); }

Result<std::uint16_t> PeerTransport::listen(const std::string& address, std::uint16_t port) {
  stop_listening();
  boost::system::error_code error;
  asio::ip::address parsed = asio::ip::make_address(address, error);
  if (error)
    return make_error(Code::invalid_argument, "listen address \"{}\": {}", address,
                      error.message());
  tcp::endpoint endpoint(parsed, port);
  auto acceptor = std::make_shared<tcp::acceptor>(impl_->executor);
  acceptor->open(endpoint.protocol(), error);
  if (!error) acceptor->set_option(tcp::acceptor::reuse_address(true), error);
  if (!error) acceptor->bind(endpoint, error);
  if (!error) acceptor->listen(asio::socket_base::max_listen_connections, error);
  if (error) return errno_error(error.value(), fmt::format("listening on {}:{}", address, port));
  impl_->acceptor = acceptor;
  impl_->spawn(Impl::accept_loop(impl_, acceptor));
  return acceptor->local_endpoint().port();
}

void PeerTransport::stop_listening() {
  if (!impl_->acceptor) return;
  impl_->acceptor->close();
  impl_->acceptor.reset();
}

Result<void> PeerTransport::set_identity(const ca::Identity& identity) {
  LAB_CHECK(impl_->make_contexts(identity));
  impl_->identity = identity;
  impl_->failed_dials.clear();
  impl_->finish_all();
  return {};
}

void PeerTransport::clear_identity() {
  impl_->identity.reset();
  impl_->own = {};
  impl_->client_context.reset();
  impl_->server_context.reset();
  impl_->finish_all();
}

void PeerTransport::set_pin(std::optional<ca::JoinToken> token) {
  impl_->pin = std::move(token);
  impl_->failed_dials.clear();
}

void PeerTransport::send(const Endpoint& to, const proto::Envelope& message) {
  if (impl_->stopped) return;
  ConnectionPtr connection = impl_->find(to);
  if (!connection && to.connection == 0 && !to.address.empty()) {
    if (!impl_->identity && !impl_->pin) return;
    auto failed = impl_->failed_dials.find(to.address);
    if (failed != impl_->failed_dials.end()) {
      if (impl_->clock.now() < failed->second + impl_->options.redial_pause) return;
      impl_->failed_dials.erase(failed);
    }
    connection = impl_->add(to);
    impl_->spawn(Impl::dial(impl_, connection));
  }
  if (!connection) return;
  proto::Frame frame;
  *frame.mutable_envelope() = message;
  connection->enqueue(frame);
}

void PeerTransport::disconnect(const std::string& node_id) {
  std::vector<ConnectionPtr> closing;
  for (auto& [id, connection] : impl_->connections) {
    if (connection->peer().node_id == node_id) closing.push_back(connection);
  }
  for (const ConnectionPtr& connection : closing) {
    connection->finish();
    impl_->connections.erase(connection->peer().connection);
  }
}

void PeerTransport::stop() {
  impl_->stopped = true;
  stop_listening();
  impl_->finish_all();
}

}  // namespace lab::swarm::transport
