#include "swarm/daemon/daemon.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>

#include "base/log.hpp"
#include "base/x509.hpp"
#include "swarm/daemon/addresses.hpp"
#include "swarm/daemon/description.hpp"

namespace lab::swarm::daemon {

namespace asio = boost::asio;
using namespace std::chrono_literals;

namespace {

constexpr const char* already_in_swarm =
    "This node is already part of a swarm. Use \"docker swarm leave\" to leave this swarm and join "
    "another one.";
constexpr auto describe_retry = 1s;
constexpr auto describe_interval = 60s;

template <typename... Ts>
struct Overloaded : Ts... {
  using Ts::operator()...;
};
template <typename... Ts>
Overloaded(Ts...) -> Overloaded<Ts...>;

}  // namespace

Daemon::Daemon(asio::any_io_executor executor, const Clock& clock, DaemonOptions options,
               std::function<void(const std::string&)> on_fatal)
    : executor_(std::move(executor)),
      clock_(clock),
      options_(std::move(options)),
      on_fatal_(std::move(on_fatal)),
      files_(options_.state_dir),
      random_(secure_random_seed()),
      timer_(executor_),
      describe_timer_(std::make_shared<asio::steady_timer>(executor_)) {}

Daemon::~Daemon() { stop(); }

Now Daemon::now() const { return {.monotonic = clock_.now(), .wall = clock_.wall_now()}; }

// ---- Starting and stopping

// State and identity fit together afterwards. A crash may have come between the writing of one and
// of the other: the certificate, which is written first, then decides.
Result<std::optional<proto::LocalState>> Daemon::load() {
  LAB_TRY(std::optional<proto::LocalState> state, files_.load_state());
  LAB_TRY(identity_, files_.load_identity());
  if (!state) {
    identity_.reset();
    LAB_CHECK(files_.remove_identity());
    LAB_CHECK(log_->erase());
    return state;
  }
  if (!identity_) {
    return make_error(Code::internal, "{}: the node {} has lost its certificate (identity.pem)",
                      options_.state_dir.string(), state->node_id());
  }
  LAB_TRY(ca::NodeCertificate certificate, ca::parse_node_certificate(identity_->certificate_pem));
  if (certificate.node_id != state->node_id()) {
    return make_error(Code::internal, "{}: the certificate is of node {}, the state of node {}",
                      options_.state_dir.string(), certificate.node_id, state->node_id());
  }
  if (certificate.role != state->role()) {
    fit_to_certificate(*state, certificate.role);
    state->set_certificate_expires_at_ns(to_unix_ns(certificate.not_after));
  }
  if (state->raft_id() == 0) LAB_CHECK(log_->erase());
  return state;
}

Result<void> Daemon::start() {
  LAB_CHECK(files_.make_folder());
  log_.emplace(
      files_.log_folder(),
      [executor = executor_](std::function<void()> work) { asio::post(executor, std::move(work)); },
      [this](raft::Ticket ticket, Result<void> status) {
        handle(Stored{.ticket = ticket, .status = std::move(status)});
      });
  LAB_CHECK(log_->open());
  LAB_TRY(std::optional<proto::LocalState> state, load());
  transport::PeerTransport::Callbacks callbacks;
  callbacks.received = [this](Endpoint from, proto::Envelope message) {
    handle(Received{.from = std::move(from), .message = std::move(message)});
  };
  callbacks.admitted = [this](const std::string& node_id) { return node_->admitted(node_id); };
  callbacks.failed = [this](const std::string& address, const Error& error) {
    on_dial_failed(address, error);
  };
  transport_.emplace(executor_, clock_, std::move(callbacks));
  node_ = std::make_unique<Node>(options_.node, std::move(state), describe_machine(), *log_,
                                 signer_, random_.stream("node"));
  if (identity_) {
    LAB_CHECK(transport_->set_identity(*identity_));
    LAB_TRY(std::string address, files_.load_listen_address());
    LAB_CHECK(listen(address));
    log::info("node {} takes up its place in the swarm", node_->view().node_id);
  }
  handling_ = true;
  Effects effects = node_->start(now());
  for (Effect& effect : effects) perform(std::move(effect));
  handling_ = false;
  handle(Tick{});
  if (!options_.engine_socket.empty()) {
    asio::co_spawn(executor_, describe_loop(*this, describe_timer_), [](std::exception_ptr failed) {
      if (failed) log::error("describing the node ended");
    });
  }
  return {};
}

void Daemon::stop() {
  if (stopped_) return;
  stopped_ = true;
  timer_.cancel();
  describe_timer_->cancel();
  if (transport_) transport_->stop();
  for (auto& [request, waiter] : waiters_) {
    waiter->response = make_error(Code::cancelled, "swarmd is stopping");
    waiter->wake.cancel();
  }
  for (asio::steady_timer* waiting : leader_waiters_) waiting->cancel();
}

Result<void> Daemon::listen(const std::string& address) {
  LAB_TRY(transport::HostPort to, transport::parse_address(address));
  LAB_TRY(std::uint16_t port, transport_->listen(to.host, to.port));
  log::info("listening on {} for other nodes", join_host_port(to.host, port));
  return {};
}

// Until the engine has answered, again and again; then now and then.
asio::awaitable<void> Daemon::describe_loop(Daemon& self,
                                            std::shared_ptr<asio::steady_timer> timer) {
  std::string last;
  while (!self.stopped_) {
    std::string socket = self.options_.engine_socket;
    Result<proto::NodeDescription> description = co_await describe_with_engine(std::move(socket));
    if (self.stopped_) co_return;
    if (description) {
      std::string text = description->SerializeAsString();
      if (text != last) self.handle(Described{.description = *description});
      last = std::move(text);
    } else {
      log::debug("the engine does not describe itself: {}", description.error().message);
    }
    timer->expires_after(description ? describe_interval : describe_retry);
    co_await timer->async_wait(asio::as_tuple(asio::use_awaitable));
  }
}

// ---- Events and effects

void Daemon::handle(Event event) {
  if (stopped_) return;
  events_.push_back(std::move(event));
  if (handling_) return;
  handling_ = true;
  while (!events_.empty() && !stopped_) {
    Event next = std::move(events_.front());
    events_.pop_front();
    Effects effects = node_->step(now(), next);
    for (Effect& effect : effects) {
      if (stopped_) break;
      perform(std::move(effect));
    }
  }
  handling_ = false;
  arm_timer();
  log_changes();
  if (!leader_waiters_.empty() && node_->view().control_available) {
    for (asio::steady_timer* waiting : leader_waiters_) waiting->cancel();
  }
}

void Daemon::log_changes() {
  NodeView view = node_->view();
  if (view.leader != logged_.leader)
    log::info("{}", view.leader ? "this node leads the swarm" : "this node does not lead any more");
  if (view.control_available != logged_.control_available && !view.leader && !logged_.leader)
    log::info("{}", view.control_available ? "the swarm has a leader" : "the swarm has no leader");
  if (view.state != logged_.state && view.state == LocalNodeState::error)
    log::warning("the swarm refuses this node: {}", view.error);
  logged_ = std::move(view);
}

void Daemon::arm_timer() {
  if (stopped_) return;
  timer_.expires_at(node_->next_deadline());
  timer_.async_wait([this](boost::system::error_code error) {
    if (!error) handle(Tick{});
  });
}

void Daemon::perform(Effect effect) {
  std::visit(Overloaded{[this](Send& send) { transport_->send(send.to, send.message); },
                        [this](SaveLocalState& save) { save_state(save.state); },
                        [this](MakeCsr& make) { make_csr(make.ticket); },
                        [this](InstallCertificate& made) { install(made); },
                        [this](Disconnect& from) { transport_->disconnect(from.node_id); },
                        [this](Answer& answered) { answer(std::move(answered)); },
                        [this](Fatal& fatal) {
                          stop();
                          on_fatal_(fatal.message);
                        }},
             effect);
}

void Daemon::fail(const std::string& what, const Error& error) {
  stop();
  on_fatal_(what + ": " + error.message);
}

void Daemon::save_state(const proto::LocalState& state) {
  if (!state.node_id().empty()) {
    if (Result<void> saved = files_.save_state(state); !saved)
      fail("keeping the node's state", saved.error());
    return;
  }
  if (Result<void> removed = files_.remove_state(); !removed)
    return fail("removing the node's state", removed.error());
  forget_identity();
}

// After the messages that were sent before; what they say is not lost.
void Daemon::forget_identity() {
  identity_.reset();
  transport_->set_pin({});
  transport_->clear_identity();
  transport_->stop_listening();
  if (Result<void> removed = files_.remove_identity(); !removed)
    fail("removing the node's certificate", removed.error());
}

void Daemon::make_csr(std::uint64_t ticket) {
  Result<std::string> key = x509::generate_key();
  if (!key) return fail("making a key", key.error());
  Result<std::string> csr = x509::create_request(*key, {.common_name = node_->view().node_id});
  if (!csr) return fail("making a certificate request", csr.error());
  csr_ticket_ = ticket;
  csr_key_pem_ = std::move(*key);
  handle(CsrMade{.ticket = ticket, .csr_pem = std::move(*csr)});
}

void Daemon::install(const InstallCertificate& certificate) {
  if (certificate.ticket != csr_ticket_) {
    log::warning("a certificate came for a key that was given up");
    return;
  }
  ca::Identity identity{.key_pem = csr_key_pem_,
                        .certificate_pem = certificate.certificate_pem,
                        .root_certificate_pem = certificate.root_certificate_pem};
  // What could not be loaded again must not be kept.
  Result<ca::Identity> checked = ca::decode_identity(ca::encode_identity(identity));
  if (!checked) return fail("the certificate that a manager issued", checked.error());
  if (Result<void> saved = files_.save_identity(*checked); !saved)
    return fail("keeping the node's certificate", saved.error());
  if (Result<void> set = transport_->set_identity(*checked); !set)
    return fail("using the node's certificate", set.error());
  identity_ = std::move(*checked);
  log::info("certificate of node {} as {}", certificate.node_id, ca::role_word(certificate.role));
}

void Daemon::answer(Answer answered) {
  auto found = waiters_.find(answered.request);
  if (found == waiters_.end()) return;
  found->second->response = std::move(answered.response);
  found->second->wake.cancel();
}

// ---- Requests of the API

std::uint64_t Daemon::new_request() {
  std::uint64_t request = next_request_++;
  waiters_.emplace(request, std::make_shared<Waiter>(executor_));
  return request;
}

asio::awaitable<Daemon::Response> Daemon::wait_for(std::uint64_t request) {
  std::shared_ptr<Waiter> waiter = waiters_.at(request);
  while (!waiter->response) co_await waiter->wake.async_wait(asio::as_tuple(asio::use_awaitable));
  waiters_.erase(request);
  co_return std::move(*waiter->response);
}

// Key, certificate and root of a new swarm, kept and used; fills in what the core has to know.
Result<void> Daemon::install_first_manager(Init& event) {
  WallTime wall = clock_.wall_now();
  LAB_TRY(*event.cluster.mutable_root_ca(), ca::make_root(wall));
  ca::Identity identity;
  LAB_TRY(identity.key_pem, x509::generate_key());
  LAB_TRY(std::string csr, x509::create_request(identity.key_pem, {.common_name = event.node_id}));
  LAB_TRY(ca::IssuedCertificate issued,
          signer_.issue(event.cluster, csr, event.node_id, proto::ROLE_MANAGER, wall));
  identity.certificate_pem = issued.certificate_pem;
  identity.root_certificate_pem = event.cluster.root_ca().certificate_pem();
  LAB_CHECK(files_.save_identity(identity));
  LAB_CHECK(transport_->set_identity(identity));
  identity_ = std::move(identity);
  event.certificate_pem = std::move(issued.certificate_pem);
  event.certificate_expires_at_ns = issued.expires_at_ns;
  return {};
}

asio::awaitable<Result<std::string>> Daemon::init(InitParameters parameters) {
  if (view().state != LocalNodeState::inactive || identity_)
    co_return Error{Code::unavailable, already_in_swarm};
  LAB_CO_TRY(std::vector<InterfaceAddress> system, system_addresses());
  LAB_CO_TRY(std::string listening,
             resolve_listen_address(parameters.listen_address, options_.listen_port, system));
  LAB_CO_TRY(std::string advertised,
             resolve_advertise_address(parameters.advertise_address, listening, system));
  Init event;
  event.node_id = new_id(random_);
  event.cluster = default_cluster(new_id(random_));
  if (parameters.adjust) parameters.adjust(event.cluster);
  event.availability = parameters.availability;
  event.advertise_address = std::move(advertised);
  LAB_CO_CHECK(listen(listening));
  LAB_CO_CHECK(files_.save_listen_address(listening));
  if (Result<void> installed = install_first_manager(event); !installed) {
    forget_identity();
    co_return installed.error();
  }
  std::string node_id = event.node_id;
  event.request = new_request();
  std::uint64_t request = event.request;
  handle(std::move(event));
  Response response = co_await wait_for(request);
  if (!response) {
    if (view().state == LocalNodeState::inactive) forget_identity();
    co_return response.error();
  }
  log::info("began a swarm as node {}", node_id);
  co_return node_id;
}

asio::awaitable<Result<void>> Daemon::join(JoinParameters parameters) {
  if (view().state != LocalNodeState::inactive || identity_)
    co_return Error{Code::unavailable, already_in_swarm};
  LAB_CO_TRY(std::vector<InterfaceAddress> system, system_addresses());
  LAB_CO_TRY(std::string listening,
             resolve_listen_address(parameters.listen_address, options_.listen_port, system));
  if (parameters.managers.empty())
    co_return Error{Code::invalid_argument, "at least 1 RemoteAddr is required to join"};
  LAB_CO_TRY(ca::JoinToken token, ca::parse_join_token(parameters.token));
  for (std::string& manager : parameters.managers) {
    if (!transport::parse_address(manager)) manager = join_host_port(manager, 2377);
    LAB_CO_CHECK(transport::parse_address(manager));
  }
  Join event;
  if (parameters.advertise_address.empty()) {
    // As the managers will see this node, unless it listens on one address only.
    LAB_CO_TRY(transport::HostPort own, transport::parse_address(listening));
    if (own.host == "0.0.0.0" || own.host == "::") {
      LAB_CO_TRY(own.host, address_towards(parameters.managers.front()));
    }
    event.advertise_address = join_host_port(own.host, own.port);
  } else {
    LAB_CO_TRY(event.advertise_address,
               resolve_advertise_address(parameters.advertise_address, listening, system));
  }
  LAB_CO_CHECK(listen(listening));
  LAB_CO_CHECK(files_.save_listen_address(listening));
  event.token = std::move(parameters.token);
  event.managers = parameters.managers;
  event.availability = parameters.availability;
  event.request = new_request();
  std::uint64_t request = event.request;
  join_request_ = request;
  join_error_.reset();
  join_refused_.clear();
  for (const std::string& manager : event.managers) join_refused_[manager] = false;
  transport_->set_pin(std::move(token));
  handle(std::move(event));
  Response response = co_await wait_for(request);
  join_request_ = 0;
  if (response) {
    transport_->set_pin({});
    log::info("joined a swarm as node {}", view().node_id);
    co_return Result<void>{};
  }
  if (view().state == LocalNodeState::inactive) {
    transport_->set_pin({});
    forget_identity();
  }
  co_return join_error_ ? *join_error_ : response.error();
}

// A join is given up when every address has refused for good: nobody listens there, or it is
// another swarm. Everything else may pass.
void Daemon::on_dial_failed(const std::string& address, const Error& error) {
  auto found = join_refused_.find(address);
  if (join_request_ == 0 || found == join_refused_.end()) return;
  constexpr std::string_view refused = "Connection refused";
  if (error.message.ends_with(refused)) {
    join_error_ = make_error(
        Code::unavailable,
        "rpc error: code = Unavailable desc = connection error: desc = \"transport: Error while "
        "dialing dial tcp {}: connect: connection refused\"",
        address);
  } else if (error.code == Code::unauthorized) {
    join_error_ = Error{Code::internal, error.message};
  } else {
    return;
  }
  found->second = true;
  for (const auto& [other, gone] : join_refused_) {
    if (!gone) return;
  }
  join_request_ = 0;
  handle(Leave{.request = 0, .force = true});
}

// Whether the client may do so was decided before.
asio::awaitable<Result<void>> Daemon::leave() {
  Leave event{.request = new_request(), .force = true};
  std::uint64_t request = event.request;
  handle(event);
  Response response = co_await wait_for(request);
  if (!response) co_return response.error();
  log::info("left the swarm");
  co_return Result<void>{};
}

asio::awaitable<Daemon::Response> Daemon::control(proto::ControlRequest body) {
  Control event{.request = new_request(), .body = std::move(body)};
  std::uint64_t request = event.request;
  handle(std::move(event));
  co_return co_await wait_for(request);
}

asio::awaitable<bool> Daemon::wait_for_leader(std::chrono::milliseconds limit) {
  TimePoint end = clock_.now() + limit;
  while (!stopped_ && !view().control_available && clock_.now() < end) {
    asio::steady_timer wake(executor_);
    wake.expires_at(end);
    auto place = leader_waiters_.insert(leader_waiters_.end(), &wake);
    co_await wake.async_wait(asio::as_tuple(asio::use_awaitable));
    leader_waiters_.erase(place);
  }
  co_return view().control_available;
}

}  // namespace lab::swarm::daemon
