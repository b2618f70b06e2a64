#include "engine/registry/session.hpp"

#include <algorithm>
#include <boost/json/parse.hpp>

#include "base/digest.hpp"
#include "engine/image/reference.hpp"
#include "engine/registry/manifest.hpp"
#include "engine/util/json.hpp"

namespace lab::engine::registry {

namespace asio = boost::asio;
namespace json = boost::json;

namespace {

constexpr int redirects_max = 10;
constexpr int tag_pages_max = 1000;
constexpr std::size_t manifest_bytes_max = std::size_t{4} << 20;
constexpr std::size_t error_bytes_max = std::size_t{64} << 10;
constexpr std::chrono::milliseconds upload_timeout = std::chrono::minutes(30);
constexpr std::chrono::milliseconds body_timeout = std::chrono::seconds(60);
// A mirror may have to fetch the image first, or to make it.
constexpr std::chrono::milliseconds mirror_timeout = std::chrono::minutes(10);
constexpr std::string_view user_agent = "swarmlab/" LAB_VERSION;

bool is_redirect(int status) {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

bool is_success(int status) { return status >= 200 && status < 300; }

// The part of a transport error that Docker's client would print for the same failure.
std::string transport_reason(const Error& error, const Url& url) {
  const std::string& text = error.message;
  const auto has = [&](std::string_view part) { return text.find(part) != std::string::npos; };
  if (has("certificate refused")) {
    if (has("issuer") || has("self-signed") || has("self signed")) {
      return "x509: certificate signed by unknown authority";
    }
    if (has("hostname mismatch") || has("IP address mismatch")) {
      return fmt::format("x509: certificate is not valid for {}", url.host);
    }
    if (has("expired")) return "x509: certificate has expired or is not yet valid";
    return "x509: " + text.substr(text.find("certificate refused"));
  }
  if (has("wrong version number") || has("http request")) {
    return "http: server gave HTTP response to HTTPS client";
  }
  if (has("Connection refused") || has("connection refused")) {
    return fmt::format("dial tcp {}:{}: connect: connection refused", url.host, url.port);
  }
  if (has("Host not found") || has("host not found")) {
    return fmt::format("dial tcp: lookup {}: no such host", url.host);
  }
  return text;
}

// A challenge that could not be answered is told with the request that met it, as Go does.
Error in_request(const Error& error, std::string_view verb, std::string_view url) {
  if (error.code != Code::unauthorized) return error;
  return error.wrap("{} \"{}\"", verb, url);
}

std::string words_of_code(std::string code) {
  std::transform(code.begin(), code.end(), code.begin(), [](unsigned char c) {
    return c == '_' ? ' ' : static_cast<char>(std::tolower(c));
  });
  return code;
}

}  // namespace

Error transport_error(std::string_view method, const Url& url, const Error& error) {
  std::string verb(method);
  std::transform(verb.begin() + 1, verb.end(), verb.begin() + 1,
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return make_error(error.code == Code::cancelled ? Code::cancelled : Code::unavailable,
                    "{} \"{}{}\": {}", verb, url.origin(), url.target,
                    transport_reason(error, url));
}

Error error_of_body(int status, std::string_view body) {
  const Code code = code_from_http_status(status);
  boost::system::error_code failure;
  const json::value parsed = json::parse(body, failure);
  const json::value* errors =
      !failure && parsed.is_object() ? parsed.get_object().if_contains("errors") : nullptr;
  if (errors != nullptr && errors->is_array() && !errors->get_array().empty() &&
      errors->get_array().front().is_object()) {
    const json::object& first = errors->get_array().front().get_object();
    const std::string words = words_of_code(text_of(first, "code"));
    const std::string message = text_of(first, "message");
    return Error{code, words + ": " + (message.empty() ? words : message)};
  }
  if (status == 401) return Error{code, "unauthorized: authentication required"};
  if (status == 403) return Error{code, "denied: requested access to the resource is denied"};
  return make_error(code, "received unexpected HTTP status: {} {}", status,
                    http::reason_phrase(status));
}

asio::awaitable<Error> error_of(http::ClientResponse& response) {
  // What a Bearer challenge says of the token (RFC 6750) goes before the body.
  for (const Challenge& challenge : parse_challenges(response.headers())) {
    const auto reason = challenge.parameters.find("error");
    if (challenge.scheme != "bearer" || reason == challenge.parameters.end()) continue;
    if (reason->second == "insufficient_scope") {
      co_return Error{Code::forbidden, "denied: requested access to the resource is denied"};
    }
    if (reason->second == "invalid_token") {
      co_return Error{Code::unauthorized, "unauthorized: authentication required"};
    }
  }
  auto body = co_await response.read_all(error_bytes_max);
  co_return error_of_body(response.status(), body.has_value() ? *body : std::string());
}

Session::Session(asio::any_io_executor executor, Host host, std::string repository,
                 Credentials credentials, bool push, const Options& options)
    : executor_(std::move(executor)),
      host_(std::move(host)),
      repository_(std::move(repository)),
      credentials_(std::move(credentials)),
      push_(push),
      options_(options) {
  // A mirror of the hub has not asked for the hub's credentials.
  if (host_.mirror) credentials_ = {};
  if (!credentials_.registry_token.empty()) {
    authorization_ = "Bearer " + credentials_.registry_token;
  }
}

Session::~Session() = default;

std::string Session::path(std::string_view rest) const {
  const std::string prefix = host_.url.target == "/" ? "" : host_.url.target;
  return fmt::format("{}/v2/{}{}{}", prefix, repository_, rest.empty() ? "" : "/", rest);
}

Result<http::Client*> Session::client_for(const Url& url) {
  std::unique_ptr<http::Client>& client = clients_[url.origin()];
  if (!client) {
    const bool verify = url.origin() == host_.url.origin() ? host_.verify : true;
    LAB_TRY(http::Endpoint endpoint, endpoint_for(url, verify, options_));
    client = std::make_unique<http::Client>(executor_, std::move(endpoint));
  }
  return client.get();
}

asio::awaitable<Result<Session::ResponsePtr>> Session::request_url(Url url,
                                                                   http::ClientRequest request,
                                                                   bool authorise) {
  LAB_CO_TRY(http::Client * client, client_for(url));
  request.target = url.target;
  request.headers.set("User-Agent", std::string(user_agent));
  request.body_timeout = body_timeout;
  if (authorise && !authorization_.empty()) request.headers.set("Authorization", authorization_);
  const std::string method = request.method;
  auto response = co_await client->send(std::move(request));
  if (response.has_error()) co_return transport_error(method, url, response.error());
  co_return response;
}

asio::awaitable<Result<Session::ResponsePtr>> Session::request(http::ClientRequest request) {
  Url url = host_.url;
  url.target = request.target;
  for (int attempt = 0;; ++attempt) {
    http::ClientRequest copy = request;
    auto response = co_await request_url(url, std::move(copy), true);
    if (response.has_error() || (*response)->status() != 401 || attempt > 0 || request.source) {
      co_return response;
    }
    const std::vector<Challenge> challenges = parse_challenges((*response)->headers());
    if (challenges.empty()) co_return response;
    LAB_CO_TRY(const std::string ignored, co_await (*response)->read_all(error_bytes_max));
    LAB_CO_CHECK(co_await answer(challenges));
  }
}

asio::awaitable<Result<void>> Session::answer(const std::vector<Challenge>& challenges) {
  for (const Challenge& challenge : challenges) {
    if (challenge.scheme == "bearer") {
      Challenge copy = challenge;
      LAB_CO_TRY(const std::string token, co_await fetch_token(std::move(copy)));
      authorization_ = "Bearer " + token;
      co_return Result<void>{};
    }
    if (challenge.scheme == "basic") {
      if (credentials_.username.empty()) {
        co_return Error{Code::unauthorized, "no basic auth credentials"};
      }
      authorization_ = basic_authorization(credentials_);
      co_return Result<void>{};
    }
  }
  co_return Error{Code::unauthorized, "the registry asks for no authentication that is known here"};
}

asio::awaitable<Result<std::string>> Session::fetch_token(Challenge challenge) {
  LAB_CO_TRY(Url url, parse_url(challenge.parameters["realm"]));
  std::vector<std::string> scopes;
  if (!repository_.empty()) {
    scopes.push_back(fmt::format("repository:{}:{}", repository_, push_ ? "pull,push" : "pull"));
  }
  if (!mount_from_.empty()) scopes.push_back(fmt::format("repository:{}:pull", mount_from_));
  http::ClientRequest request;
  const std::string service = challenge.parameters["service"];
  if (!credentials_.identity_token.empty()) {
    request.method = "POST";
    request.headers.set("Content-Type", "application/x-www-form-urlencoded");
    request.body = fmt::format(
        "grant_type=refresh_token&client_id=docker&service={}&scope={}&refresh_token={}",
        http::url_encode(service), http::url_encode(fmt::format("{}", fmt::join(scopes, " "))),
        http::url_encode(credentials_.identity_token));
  } else {
    std::vector<std::string> query;
    if (!credentials_.username.empty()) {
      query.push_back("account=" + http::url_encode(credentials_.username));
      request.headers.set("Authorization", basic_authorization(credentials_));
    }
    for (const std::string& scope : scopes) query.push_back("scope=" + http::url_encode(scope));
    if (!service.empty()) query.push_back("service=" + http::url_encode(service));
    const char separator = url.target.find('?') == std::string::npos ? '?' : '&';
    url.target += fmt::format("{}{}", separator, fmt::join(query, "&"));
  }
  LAB_CO_TRY(const ResponsePtr response, co_await request_url(url, std::move(request), false));
  if (!is_success(response->status())) co_return co_await error_of(*response);
  LAB_CO_TRY(const std::string body, co_await response->read_all(manifest_bytes_max));
  boost::system::error_code failure;
  const json::value parsed = json::parse(body, failure);
  if (!failure && parsed.is_object()) {
    for (const std::string_view key : {"token", "access_token"}) {
      std::string token = text_of(parsed.get_object(), key);
      if (!token.empty()) co_return token;
    }
  }
  co_return Error{Code::unavailable,
                  "authorization server did not include a token in the response"};
}

asio::awaitable<Result<void>> Session::ping() {
  Url url = host_.url;
  url.target = host_.url.target == "/" ? "/v2/" : host_.url.target + "/v2/";
  http::ClientRequest request;
  LAB_CO_TRY(const ResponsePtr response, co_await request_url(url, std::move(request), true));
  const int status = response->status();
  const std::vector<Challenge> challenges = parse_challenges(response->headers());
  LAB_CO_TRY(const std::string ignored, co_await response->read_all(error_bytes_max));
  if (is_success(status)) co_return Result<void>{};
  // It is a registry; the challenge is answered when there is something to ask for.
  if (status == 401 && !challenges.empty()) co_return Result<void>{};
  co_return error_of_body(status, ignored);
}

asio::awaitable<Result<void>> Session::check_credentials() {
  LAB_CO_CHECK(co_await ping());
  http::ClientRequest get;
  get.target = host_.url.target == "/" ? "/v2/" : host_.url.target + "/v2/";
  LAB_CO_TRY(const ResponsePtr response, co_await request(std::move(get)));
  if (is_success(response->status())) co_return Result<void>{};
  Url url = host_.url;
  co_return make_error(Code::unauthorized, "login attempt to {}/v2/ failed with status: {} {}",
                       url.origin(), response->status(), http::reason_phrase(response->status()));
}

asio::awaitable<Result<FetchedManifest>> Session::manifest(std::string reference) {
  http::ClientRequest get;
  get.target = path("manifests/" + reference);
  if (host_.mirror) get.timeout = mirror_timeout;
  for (const std::string_view type : {docker_manifest, docker_list, oci_index, oci_manifest}) {
    get.headers.add("Accept", std::string(type));
  }
  const std::string url = host_.url.origin() + get.target;
  const auto response = co_await request(std::move(get));
  if (response.has_error()) co_return in_request(response.error(), "Head", url);
  if (!is_success((*response)->status())) co_return co_await error_of(**response);
  FetchedManifest fetched;
  fetched.media_type = (*response)->headers().get("Content-Type");
  LAB_CO_TRY(fetched.text, co_await (*response)->read_all(manifest_bytes_max));
  fetched.digest = "sha256:" + sha256_hex(fetched.text);
  if (image::is_digest(reference) && fetched.digest != reference) {
    co_return make_error(Code::unavailable, "manifest verification failed for digest {}",
                         reference);
  }
  co_return fetched;
}

asio::awaitable<Result<std::vector<std::string>>> Session::tags() {
  std::vector<std::string> all;
  Url page = host_.url;
  page.target = path("tags/list");
  for (int pages = 0; pages < tag_pages_max; ++pages) {
    http::ClientRequest get;
    get.target = page.target;
    LAB_CO_TRY(const ResponsePtr response, co_await request(std::move(get)));
    if (!is_success(response->status())) co_return co_await error_of(*response);
    // Link: </v2/NAME/tags/list?last=x&n=100>; rel="next"
    const std::string link(response->headers().get("Link"));
    LAB_CO_TRY(const std::string body, co_await response->read_all(manifest_bytes_max));
    boost::system::error_code failure;
    const json::value parsed = json::parse(body, failure);
    if (failure || !parsed.is_object()) {
      co_return Error{Code::unavailable, "the registry's list of tags is not a JSON object"};
    }
    for (std::string& tag : texts_of(parsed.get_object(), "tags")) all.push_back(std::move(tag));
    const std::size_t end = link.find('>');
    if (!link.starts_with('<') || end == std::string::npos) co_return all;
    LAB_CO_TRY(page, resolve_location(page, std::string_view(link).substr(1, end - 1)));
    if (page.origin() != host_.url.origin()) co_return all;
  }
  co_return all;
}

asio::awaitable<Result<Session::ResponsePtr>> Session::blob(std::string digest,
                                                            std::uint64_t offset) {
  http::ClientRequest get;
  get.target = path("blobs/" + digest);
  get.headers.set("Accept-Encoding", "identity");
  if (offset > 0) get.headers.set("Range", fmt::format("bytes={}-", offset));
  http::ClientRequest first = get;
  LAB_CO_TRY(ResponsePtr response, co_await request(std::move(first)));
  Url at = host_.url;
  at.target = get.target;
  for (int hops = 0; is_redirect(response->status()); ++hops) {
    if (hops == redirects_max) {
      co_return make_error(Code::unavailable, "{}: stopped after {} redirects", digest, hops);
    }
    LAB_CO_TRY(Url next, resolve_location(at, response->headers().get("Location")));
    // A token is for its own host only.
    const bool authorise = next.origin() == host_.url.origin();
    http::ClientRequest copy = get;
    LAB_CO_TRY(response, co_await request_url(next, std::move(copy), authorise));
    at = std::move(next);
  }
  if (!is_success(response->status())) co_return co_await error_of(*response);
  co_return response;
}

asio::awaitable<Result<std::string>> Session::small_blob(std::string digest,
                                                         std::size_t bytes_max) {
  LAB_CO_TRY(const ResponsePtr response, co_await blob(digest, 0));
  LAB_CO_TRY(std::string content, co_await response->read_all(bytes_max));
  if ("sha256:" + sha256_hex(content) != digest) {
    co_return make_error(Code::unavailable, "content of {} does not have that digest", digest);
  }
  co_return content;
}

asio::awaitable<Result<bool>> Session::has_blob(std::string digest) {
  http::ClientRequest head;
  head.method = "HEAD";
  head.target = path("blobs/" + digest);
  LAB_CO_TRY(const ResponsePtr response, co_await request(std::move(head)));
  if (response->status() == 404) co_return false;
  // The answer to HEAD has no body that would explain.
  if (is_redirect(response->status()) || is_success(response->status())) co_return true;
  co_return error_of_body(response->status(), {});
}

asio::awaitable<Result<bool>> Session::mount_blob(std::string digest, std::string from_repository) {
  // A token for our repository alone would not open the other one.
  mount_from_ = from_repository;
  if (authorization_.starts_with("Bearer ") && credentials_.registry_token.empty()) {
    authorization_.clear();
  }
  http::ClientRequest post;
  post.method = "POST";
  post.target = path(fmt::format("blobs/uploads/?mount={}&from={}", http::url_encode(digest),
                                 http::url_encode(from_repository)));
  LAB_CO_TRY(const ResponsePtr response, co_await request(std::move(post)));
  mount_from_.clear();
  if (response->status() == 201) co_return true;
  if (response->status() != 202) co_return false;
  // The registry opened an upload instead; nobody will use it.
  auto location = resolve_location(host_.url, response->headers().get("Location"));
  LAB_CO_TRY(const std::string ignored, co_await response->read_all(error_bytes_max));
  if (location.has_value() && location->origin() == host_.url.origin()) {
    http::ClientRequest cancel;
    cancel.method = "DELETE";
    auto done = co_await request_url(*location, std::move(cancel), true);
  }
  co_return false;
}

asio::awaitable<Result<Url>> Session::start_upload(std::string query) {
  http::ClientRequest post;
  post.method = "POST";
  post.target = path("blobs/uploads/" + query);
  LAB_CO_TRY(const ResponsePtr response, co_await request(std::move(post)));
  if (response->status() != 202) co_return co_await error_of(*response);
  LAB_CO_TRY(const std::string ignored, co_await response->read_all(error_bytes_max));
  co_return resolve_location(host_.url, response->headers().get("Location"));
}

asio::awaitable<Result<void>> Session::upload_blob(std::string digest, std::uint64_t size_bytes,
                                                   OpenBody open) {
  LAB_CO_TRY(Url url, co_await start_upload(""));
  http::ClientRequest patch;
  patch.method = "PATCH";
  patch.headers.set("Content-Type", "application/octet-stream");
  patch.content_length = size_bytes;
  patch.timeout = upload_timeout;
  LAB_CO_TRY(patch.source, open());
  LAB_CO_TRY(const ResponsePtr sent, co_await request_url(url, std::move(patch), true));
  if (!is_success(sent->status())) co_return co_await error_of(*sent);
  LAB_CO_TRY(const std::string ignored, co_await sent->read_all(error_bytes_max));
  LAB_CO_TRY(url, resolve_location(url, sent->headers().get("Location")));
  url.target += (url.target.find('?') == std::string::npos ? "?digest=" : "&digest=") +
                http::url_encode(digest);
  http::ClientRequest put;
  put.method = "PUT";
  put.timeout = upload_timeout;
  LAB_CO_TRY(const ResponsePtr done, co_await request_url(url, std::move(put), true));
  if (!is_success(done->status())) co_return co_await error_of(*done);
  LAB_CO_CHECK(co_await done->read_all(error_bytes_max));
  co_return Result<void>{};
}

asio::awaitable<Result<std::string>> Session::put_manifest(std::string reference, std::string text,
                                                           std::string media_type) {
  http::ClientRequest put;
  put.method = "PUT";
  put.target = path("manifests/" + reference);
  put.headers.set("Content-Type", std::move(media_type));
  std::string digest = "sha256:" + sha256_hex(text);
  put.body = std::move(text);
  LAB_CO_TRY(const ResponsePtr response, co_await request(std::move(put)));
  if (!is_success(response->status())) co_return co_await error_of(*response);
  LAB_CO_CHECK(co_await response->read_all(error_bytes_max));
  co_return digest;
}

}  // namespace lab::engine::registry
