// A node of the swarm with its I/O: the core (swarm::Node) between its state folder, its Raft log,
// the connections with other nodes, the engine beside it and the API in front. One thread, that of
// the executor.
//
// Errors of init(), join() and leave() have dockerd's texts, ready for the client.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>
#include <deque>
#include <filesystem>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "swarm/ca/certificates.hpp"
#include "swarm/daemon/state_files.hpp"
#include "swarm/node/node.hpp"
#include "swarm/transport/peer_transport.hpp"
#include "swarm/wal/disk_log.hpp"

namespace lab::swarm::daemon {

struct DaemonOptions {
  std::filesystem::path state_dir;
  std::string engine_socket;         // empty: there is no engine to ask
  std::uint16_t listen_port = 2377;  // where a request names none
  NodeOptions node;
};

struct InitParameters {
  std::string listen_address;
  std::string advertise_address;
  proto::Availability availability = proto::AVAILABILITY_ACTIVE;
  // Default cluster in, what is to be made out of it out: puts the client's spec over it.
  std::function<void(proto::Cluster&)> adjust;
};

struct JoinParameters {
  std::string listen_address;
  std::string advertise_address;
  std::vector<std::string> managers;
  std::string token;
  proto::Availability availability = proto::AVAILABILITY_ACTIVE;
};

class Daemon {
 public:
  // `on_fatal` is called when the node cannot go on: the process has to end, and may start again.
  Daemon(boost::asio::any_io_executor executor, const Clock& clock, DaemonOptions options,
         std::function<void(const std::string&)> on_fatal);
  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;
  ~Daemon();

  // Takes up what the state folder holds.
  [[nodiscard]] Result<void> start();
  void stop();

  [[nodiscard]] NodeView view() const { return node_->view(); }
  // Null unless this node is a manager.
  [[nodiscard]] const store::Store* store() const { return node_->store(); }

  // Gives the node's id.
  [[nodiscard]] boost::asio::awaitable<Result<std::string>> init(InitParameters parameters);
  [[nodiscard]] boost::asio::awaitable<Result<void>> join(JoinParameters parameters);
  [[nodiscard]] boost::asio::awaitable<Result<void>> leave();
  // A write, or a read that the leader answers. When it has come back, this node's store holds
  // what it did.
  [[nodiscard]] boost::asio::awaitable<Result<proto::ControlResponse>> control(
      proto::ControlRequest body);
  // Until there is a leader, or `limit` is over; says which.
  [[nodiscard]] boost::asio::awaitable<bool> wait_for_leader(std::chrono::milliseconds limit);

 private:
  using Response = Result<proto::ControlResponse>;
  struct Waiter {
    explicit Waiter(const boost::asio::any_io_executor& executor) : wake(executor) {
      wake.expires_at(boost::asio::steady_timer::time_point::max());
    }
    boost::asio::steady_timer wake;
    std::optional<Response> response;
  };

  // One event through the core, and what it wants done; events that come of it are queued.
  void handle(Event event);
  void perform(Effect effect);
  void arm_timer();
  void log_changes();
  void fail(const std::string& what, const Error& error);
  [[nodiscard]] Now now() const;

  // effects
  void save_state(const proto::LocalState& state);
  void make_csr(std::uint64_t ticket);
  void install(const InstallCertificate& certificate);
  void answer(Answer answered);

  [[nodiscard]] Result<std::optional<proto::LocalState>> load();
  [[nodiscard]] Result<void> listen(const std::string& address);
  [[nodiscard]] Result<void> install_first_manager(Init& event);
  void forget_identity();
  void on_dial_failed(const std::string& address, const Error& error);
  [[nodiscard]] boost::asio::awaitable<Response> wait_for(std::uint64_t request);
  [[nodiscard]] std::uint64_t new_request();
  static boost::asio::awaitable<void> describe_loop(
      Daemon& self, std::shared_ptr<boost::asio::steady_timer> timer);

  boost::asio::any_io_executor executor_;
  const Clock& clock_;
  DaemonOptions options_;
  std::function<void(const std::string&)> on_fatal_;
  StateFiles files_;
  Random random_;
  ca::CertificateSigner signer_;
  std::optional<wal::DiskLog> log_;
  std::optional<transport::PeerTransport> transport_;
  std::unique_ptr<Node> node_;

  std::deque<Event> events_;
  bool handling_ = false;
  bool stopped_ = false;
  boost::asio::steady_timer timer_;
  std::map<std::uint64_t, std::shared_ptr<Waiter>> waiters_;
  std::uint64_t next_request_ = 1;
  std::list<boost::asio::steady_timer*> leader_waiters_;
  NodeView logged_;  // what log_changes() compares with

  std::uint64_t csr_ticket_ = 0;
  std::string csr_key_pem_;
  std::optional<ca::Identity> identity_;

  // Of the join under way.
  std::uint64_t join_request_ = 0;
  std::map<std::string, bool> join_refused_;  // by address: definitely refused
  std::optional<Error> join_error_;

  std::shared_ptr<boost::asio::steady_timer> describe_timer_;
};

}  // namespace lab::swarm::daemon
