#include "base/tls.hpp"

#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/error.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

#include "base/deadline.hpp"
#include "base/stream_errors.hpp"

namespace lab::tls {

namespace asio = boost::asio;
namespace ssl = asio::ssl;

struct Context::Impl {
  explicit Impl(ssl::context::method method) : context(method) {}
  ssl::context context;
  Options options;
};

namespace {

constexpr auto awaiting = asio::as_tuple(asio::use_awaitable);
using Socket = asio::generic::stream_protocol::socket;

std::string certificate_to_pem(X509* certificate) {
  BIO* bio = BIO_new(BIO_s_mem());
  PEM_write_bio_X509(bio, certificate);
  char* data = nullptr;
  long size = BIO_get_mem_data(bio, &data);
  std::string pem(data, static_cast<std::size_t>(size));
  BIO_free(bio);
  return pem;
}

class TlsStream final : public Stream {
 public:
  TlsStream(Socket socket, Context context)
      : peer_(describe_peer(socket)),
        context_(std::move(context)),
        stream_(std::move(socket), context_.impl().context) {}

  ssl::stream<Socket>& ssl_stream() { return stream_; }
  [[nodiscard]] const Options& options() const { return context_.impl().options; }

  asio::awaitable<Result<std::size_t>> read_some(asio::mutable_buffer buffer) override {
    auto [error, count] = co_await stream_.async_read_some(buffer, awaiting);
    // Peers that close without close_notify are common; HTTP and our frames carry their own
    // lengths.
    if (error == asio::ssl::error::stream_truncated) co_return std::size_t{0};
    if (error) co_return read_error(error, peer_);
    co_return count;
  }

  asio::awaitable<Result<void>> write(std::string_view bytes) override {
    auto [error, count] =
        co_await asio::async_write(stream_, asio::buffer(bytes.data(), bytes.size()), awaiting);
    if (error) co_return stream_error(error, "writing to", peer_);
    co_return Result<void>{};
  }

  asio::awaitable<Result<void>> shutdown_write() override {
    auto [error] = co_await stream_.async_shutdown(awaiting);
    if (error && error != asio::error::eof) co_return stream_error(error, "half-closing", peer_);
    co_return Result<void>{};
  }

  void close() override {
    boost::system::error_code ignored;
    stream_.next_layer().close(ignored);
  }

  asio::any_io_executor executor() override { return stream_.get_executor(); }
  std::string peer_address() const override { return peer_; }
  int native_handle() override { return stream_.next_layer().native_handle(); }

  std::string peer_certificate_pem() const override {
    X509* certificate =
        SSL_get1_peer_certificate(const_cast<TlsStream*>(this)->stream_.native_handle());
    if (certificate == nullptr) return {};
    std::string pem = certificate_to_pem(certificate);
    X509_free(certificate);
    return pem;
  }

 private:
  std::string peer_;
  Context context_;  // keeps the SSL_CTX for as long as the stream
  ssl::stream<Socket> stream_;
};

Result<void> load_identity(ssl::context& context, const Options& options) {
  if (options.certificate_pem.empty()) return {};
  boost::system::error_code error;
  context.use_certificate_chain(asio::buffer(options.certificate_pem), error);
  if (error)
    return make_error(Code::invalid_argument, "TLS certificate does not parse: {}",
                      error.message());
  context.use_private_key(asio::buffer(options.private_key_pem), ssl::context::pem, error);
  if (error)
    return make_error(Code::invalid_argument, "TLS private key does not parse or match: {}",
                      error.message());
  return {};
}

Result<void> load_authorities(ssl::context& context, const Options& options) {
  boost::system::error_code error;
  for (const std::string& pem : options.authorities_pem) {
    context.add_certificate_authority(asio::buffer(pem), error);
    if (error)
      return make_error(Code::invalid_argument, "TLS authority does not parse: {}",
                        error.message());
  }
  if (options.system_authorities) {
    context.set_default_verify_paths(error);
    if (error)
      return make_error(Code::internal, "loading the system's TLS authorities: {}",
                        error.message());
  }
  return {};
}

ssl::verify_mode verify_mode_of(const Options& options, bool server) {
  if (!server) return options.insecure ? ssl::verify_none : ssl::verify_peer;
  if (options.accept_peer_without_certificate) return ssl::verify_peer;
  if (options.require_peer_certificate) return ssl::verify_peer | ssl::verify_fail_if_no_peer_cert;
  return ssl::verify_none;
}

Result<Context> make_context(const Options& options, bool server) {
  auto impl =
      std::make_shared<Context::Impl>(server ? ssl::context::tls_server : ssl::context::tls_client);
  impl->options = options;
  SSL_CTX* native = impl->context.native_handle();
  SSL_CTX_set_min_proto_version(native, options.tls13_only ? TLS1_3_VERSION : TLS1_2_VERSION);
  // A stored session would skip the certificate check that removal from a swarm relies on.
  SSL_CTX_set_session_cache_mode(native, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_options(native, SSL_OP_NO_TICKET);
  LAB_CHECK(load_identity(impl->context, options));
  LAB_CHECK(load_authorities(impl->context, options));
  impl->context.set_verify_mode(verify_mode_of(options, server));
  return Context(std::move(impl));
}

// Says why OpenSSL refused, where asio knows only "certificate verify failed".
std::string handshake_reason(SSL* native, const boost::system::error_code& error) {
  long verified = SSL_get_verify_result(native);
  if (verified != X509_V_OK) {
    return fmt::format("certificate refused: {}", X509_verify_cert_error_string(verified));
  }
  return error.message();
}

void set_expected_name(SSL* native, const std::string& name) {
  if (name.empty()) return;
  boost::system::error_code not_an_address;
  asio::ip::make_address(name, not_an_address);
  if (not_an_address) {
    SSL_set_tlsext_host_name(native, name.c_str());
    SSL_set1_host(native, name.c_str());
  } else {
    X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(native), name.c_str());
  }
}

asio::awaitable<Result<StreamPtr>> handshake(std::unique_ptr<TlsStream> stream,
                                             ssl::stream_base::handshake_type type,
                                             std::chrono::milliseconds timeout) {
  Deadline deadline(stream->executor(), timeout, [raw = stream.get()] { raw->close(); });
  auto [error] = co_await stream->ssl_stream().async_handshake(type, awaiting);
  std::string peer = stream->peer_address();
  if (deadline.end()) {
    co_return make_error(Code::deadline_exceeded, "TLS handshake with {}: not done within {} ms",
                         peer, timeout.count());
  }
  if (error) {
    std::string reason = handshake_reason(stream->ssl_stream().native_handle(), error);
    Code code = error.category() == boost::asio::error::get_ssl_category() ? Code::forbidden
                                                                           : Code::unavailable;
    co_return make_error(code, "TLS handshake with {}: {}", peer, reason);
  }
  const auto& verify = stream->options().verify_peer;
  if (verify) {
    std::string certificate = stream->peer_certificate_pem();
    if (!certificate.empty() && !verify(certificate)) {
      co_return make_error(Code::forbidden,
                           "TLS handshake with {}: its certificate is refused here", peer);
    }
  }
  co_return StreamPtr(std::move(stream));
}

}  // namespace

Result<Context> Context::client(const Options& options) { return make_context(options, false); }
Result<Context> Context::server(const Options& options) { return make_context(options, true); }

asio::awaitable<Result<StreamPtr>> connect(Socket socket, Context context, std::string server_name,
                                           std::chrono::milliseconds timeout) {
  auto stream = std::make_unique<TlsStream>(std::move(socket), std::move(context));
  set_expected_name(stream->ssl_stream().native_handle(), server_name);
  co_return co_await handshake(std::move(stream), ssl::stream_base::client, timeout);
}

asio::awaitable<Result<StreamPtr>> accept(Socket socket, Context context,
                                          std::chrono::milliseconds timeout) {
  auto stream = std::make_unique<TlsStream>(std::move(socket), std::move(context));
  co_return co_await handshake(std::move(stream), ssl::stream_base::server, timeout);
}

asio::awaitable<Result<StreamPtr>> connect_tcp(std::string host, std::uint16_t port,
                                               Context context, std::string server_name,
                                               std::chrono::milliseconds timeout) {
  LAB_CO_TRY(auto socket, co_await connect_tcp_socket(std::move(host), port, timeout));
  co_return co_await connect(std::move(socket), std::move(context), std::move(server_name),
                             timeout);
}

}  // namespace lab::tls
