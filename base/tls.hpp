// TLS over a Stream, with OpenSSL. Certificates and keys come as PEM text, so that keys need not
// lie in files.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "base/stream.hpp"

namespace lab::tls {

struct Options {
  std::string certificate_pem;  // ours, with its chain; empty on a client that shows none
  std::string private_key_pem;
  std::vector<std::string> authorities_pem;  // whom we believe
  bool system_authorities = false;  // the system's store as well (a client of public registries)
  bool require_peer_certificate = false;  // server: mutual TLS
  bool accept_peer_without_certificate =
      false;  // server: asks for one, takes none too (issuing certificates)
  bool tls13_only = false;
  // Called with the peer's verified leaf certificate (PEM); false refuses the handshake. Optional.
  std::function<bool(const std::string& certificate_pem)> verify_peer;
  bool insecure = false;  // client: verify nothing (a registry configured as insecure)
};

class Context {
 public:
  // Fails with Code::invalid_argument on a certificate or key that does not parse or does not
  // match.
  [[nodiscard]] static Result<Context> client(const Options& options);
  [[nodiscard]] static Result<Context> server(const Options& options);

  struct Impl;
  explicit Context(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
  [[nodiscard]] Impl& impl() const { return *impl_; }

 private:
  std::shared_ptr<Impl> impl_;
};

// Handshakes within `timeout`. The client checks that the certificate is valid for `server_name` (a
// DNS name or an IP address); an empty name checks the chain only, as the swarm does. A failed
// verification says which and why.
[[nodiscard]] boost::asio::awaitable<Result<StreamPtr>> connect(
    boost::asio::generic::stream_protocol::socket socket, Context context, std::string server_name,
    std::chrono::milliseconds timeout);
[[nodiscard]] boost::asio::awaitable<Result<StreamPtr>> accept(
    boost::asio::generic::stream_protocol::socket socket, Context context,
    std::chrono::milliseconds timeout);
// TCP connection and handshake in one.
[[nodiscard]] boost::asio::awaitable<Result<StreamPtr>> connect_tcp(
    std::string host, std::uint16_t port, Context context, std::string server_name,
    std::chrono::milliseconds timeout);

}  // namespace lab::tls
