// Connections between the nodes of a swarm: TLS 1.3 over TCP, both sides showing certificates of
// the swarm, length-prefixed protobuf frames. Sending is fire and forget (see swarm::Endpoint for
// how the receiver is found); what arrives is handed up with the identity that the peer's
// certificate proves.
//
// A node that joins has no certificate: with set_pin() it dials managers, checks their root
// certificate against its join token and their certificate against that root, and only then
// speaks. A manager lets such a node in; what the node may ask for is for the receiver to decide.
//
// One thread, that of the executor.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/clock.hpp"
#include "base/error.hpp"
#include "swarm/ca/certificates.hpp"
#include "swarm/ca/join_token.hpp"
#include "swarm/proto/wire.pb.h"
#include "swarm/types.hpp"

namespace lab::swarm::transport {

struct Options {
  std::chrono::milliseconds connect_timeout{3'000};
  std::chrono::milliseconds handshake_timeout{5'000};
  // Data that stays unacknowledged this long ends the connection.
  std::chrono::milliseconds silence_timeout{6'000};
  // No other attempt to dial an address so shortly after a failed one.
  std::chrono::milliseconds redial_pause{300};
  std::size_t frame_bytes_max = std::size_t{256} << 20;  // of a manager: snapshots
  std::size_t worker_frame_bytes_max = std::size_t{4} << 20;
  // Of a peer without a certificate.
  std::size_t anonymous_frame_bytes_max = std::size_t{64} << 10;
  std::chrono::milliseconds anonymous_lifetime{60'000};
  // What may wait to be sent on one connection; more is dropped.
  std::size_t queue_bytes_max = std::size_t{320} << 20;
};

class PeerTransport {
 public:
  struct Callbacks {
    std::function<void(Endpoint from, proto::Envelope message)> received;
    // Whether the holder of a valid certificate of this node may connect.
    std::function<bool(const std::string& node_id)> admitted;
    // A connection that was dialled for a message did not come about, or was refused.
    std::function<void(const std::string& address, const Error& error)> failed;
  };

  PeerTransport(boost::asio::any_io_executor executor, const Clock& clock, Callbacks callbacks,
                Options options = {});
  PeerTransport(const PeerTransport&) = delete;
  PeerTransport& operator=(const PeerTransport&) = delete;
  ~PeerTransport();  // as stop()

  // `address` is an IP address; port 0 takes a free one. Gives the port. A second call replaces the
  // first.
  [[nodiscard]] Result<std::uint16_t> listen(const std::string& address, std::uint16_t port);

  void stop_listening();

  // From now on shows this certificate and believes this root. Connections made with another
  // identity are closed.
  [[nodiscard]] Result<void> set_identity(const ca::Identity& identity);
  void clear_identity();
  // While there is no identity: whom to believe.
  void set_pin(std::optional<ca::JoinToken> token);

  void send(const Endpoint& to, const proto::Envelope& message);
  // Closes all connections with this node.
  void disconnect(const std::string& node_id);
  // Closes everything, the listener too.
  void stop();

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

// "10.0.0.1:2377" or "[fd00::1]:2377".
struct HostPort {
  std::string host;
  std::uint16_t port = 0;
};
[[nodiscard]] Result<HostPort> parse_address(const std::string& address);

}  // namespace lab::swarm::transport
