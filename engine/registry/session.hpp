// Talks to one registry host about one repository, in the OCI distribution protocol: pings, proves
// who we are (Bearer tokens or Basic), follows redirects, and turns the registry's errors into
// Docker's texts.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/http_client.hpp"
#include "engine/registry/auth.hpp"
#include "engine/registry/hosts.hpp"

namespace lab::engine::registry {

struct FetchedManifest {
  std::string text;
  std::string media_type;  // of the answer's header
  std::string digest;      // computed
};

class Session {
 public:
  // `repository` is the path: "library/busybox". `push` asks for the right to write too.
  Session(boost::asio::any_io_executor executor, Host host, std::string repository,
          Credentials credentials, bool push, const Options& options);
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;
  ~Session();

  [[nodiscard]] const Host& host() const { return host_; }

  // GET /v2/: is it a registry, and how does it want to be asked. Its error is that of Docker's
  // client: 'Get "https://HOST/v2/": ...'.
  [[nodiscard]] boost::asio::awaitable<Result<void>> ping();
  // ping(), and a request that the registry refuses unless the credentials are right.
  [[nodiscard]] boost::asio::awaitable<Result<void>> check_credentials();

  // By tag or digest; a digest is verified.
  [[nodiscard]] boost::asio::awaitable<Result<FetchedManifest>> manifest(std::string reference);
  // Every tag of the repository.
  [[nodiscard]] boost::asio::awaitable<Result<std::vector<std::string>>> tags();
  // A blob from byte `offset` on; the answer may start at 0 if the registry knows no ranges: then
  // its status is 200.
  [[nodiscard]] boost::asio::awaitable<Result<std::unique_ptr<http::ClientResponse>>> blob(
      std::string digest, std::uint64_t offset);
  // A small blob, verified.
  [[nodiscard]] boost::asio::awaitable<Result<std::string>> small_blob(std::string digest,
                                                                       std::size_t bytes_max);

  [[nodiscard]] boost::asio::awaitable<Result<bool>> has_blob(std::string digest);
  // Asks the registry to take the blob from another of its repositories; false: it must be sent.
  [[nodiscard]] boost::asio::awaitable<Result<bool>> mount_blob(std::string digest,
                                                                std::string from_repository);
  // Sends a blob. `open` gives its bytes from the start: called again when a try failed.
  using OpenBody = std::function<Result<http::BodySource>()>;
  [[nodiscard]] boost::asio::awaitable<Result<void>> upload_blob(std::string digest,
                                                                 std::uint64_t size_bytes,
                                                                 OpenBody open);
  // Gives the digest.
  [[nodiscard]] boost::asio::awaitable<Result<std::string>> put_manifest(std::string reference,
                                                                         std::string text,
                                                                         std::string media_type);

 private:
  using ResponsePtr = std::unique_ptr<http::ClientResponse>;
  // A request to our host, authorised, a challenge answered once.
  [[nodiscard]] boost::asio::awaitable<Result<ResponsePtr>> request(http::ClientRequest request);
  [[nodiscard]] boost::asio::awaitable<Result<ResponsePtr>> request_url(Url url,
                                                                        http::ClientRequest request,
                                                                        bool authorise);
  [[nodiscard]] boost::asio::awaitable<Result<void>> answer(
      const std::vector<Challenge>& challenges);
  [[nodiscard]] boost::asio::awaitable<Result<std::string>> fetch_token(Challenge challenge);
  [[nodiscard]] boost::asio::awaitable<Result<Url>> start_upload(std::string query);
  [[nodiscard]] Result<http::Client*> client_for(const Url& url);
  [[nodiscard]] std::string path(std::string_view rest) const;

  boost::asio::any_io_executor executor_;
  Host host_;
  std::string repository_;
  Credentials credentials_;
  bool push_;
  const Options options_;
  std::string mount_from_;  // repository whose content a token should also open
  std::string authorization_;
  std::map<std::string, std::unique_ptr<http::Client>> clients_;  // by origin
};

// A request that got no answer, in the words of Docker's client: 'Get "https://HOST/v2/": dial tcp:
// lookup HOST: no such host'.
[[nodiscard]] Error transport_error(std::string_view method, const Url& url, const Error& error);

// The error of an answer that is not a success: "manifest unknown: manifest unknown".
[[nodiscard]] boost::asio::awaitable<Error> error_of(http::ClientResponse& response);
[[nodiscard]] Error error_of_body(int status, std::string_view body);

}  // namespace lab::engine::registry
