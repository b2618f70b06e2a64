#include "engine/registry/search.hpp"

#include <boost/json/parse.hpp>

#include "engine/registry/hosts.hpp"
#include "engine/registry/session.hpp"
#include "engine/util/json.hpp"

namespace lab::engine::registry {

namespace asio = boost::asio;
namespace json = boost::json;

namespace {

constexpr std::string_view hub_index = "index.docker.io";

struct Term {
  std::string host;
  std::string text;
};

// The first component is a host as in an image's name.
Term parse_term(const std::string& term) {
  const std::size_t slash = term.find('/');
  const std::string first = term.substr(0, slash);
  const bool is_host = slash != std::string::npos &&
                       (first.find_first_of(".:") != std::string::npos || first == "localhost");
  if (!is_host || first == "docker.io" || first == hub_index) {
    const bool named = is_host;
    const std::string text = named ? term.substr(slash + 1) : term;
    return {std::string(hub_index),
            text.starts_with("library/") ? text.substr(std::string("library/").size()) : text};
  }
  return {first, term.substr(slash + 1)};
}

asio::awaitable<Result<json::array>> ask(asio::any_io_executor executor, Host host,
                                         std::string target, std::string authorization,
                                         Options options) {
  LAB_CO_TRY(http::Endpoint endpoint, endpoint_for(host.url, host.verify, options));
  http::Client client(executor, std::move(endpoint));
  http::ClientRequest request;
  request.target = target;
  request.headers.set("X-Docker-Token", "true");
  if (!authorization.empty()) request.headers.set("Authorization", authorization);
  auto response = co_await client.fetch(std::move(request));
  if (!response) {
    Url url = host.url;
    url.target = target;
    co_return transport_error("GET", url, response.error());
  }
  if (response->status != 200)
    co_return make_error(Code::internal, "Unexpected status code {}", response->status);
  LAB_CO_TRY(const json::object answer, parse_object(response->body));
  co_return array_of(answer, "results");
}

}  // namespace

asio::awaitable<Result<json::array>> search(asio::any_io_executor executor, std::string term,
                                            std::int64_t limit, Credentials credentials,
                                            Options options) {
  const Term wanted = parse_term(term);
  LAB_CO_TRY(const std::vector<Host> hosts, hosts_for(wanted.host, options, false));
  const std::string target =
      fmt::format("/v1/search?q={}&n={}", http::url_encode(wanted.text), limit > 0 ? limit : 25);
  const std::string authorization =
      credentials.username.empty() ? std::string() : basic_authorization(credentials);
  Result<json::array> answer = Error{Code::internal, "no index to ask"};
  for (const Host& host : hosts) {
    answer = co_await ask(executor, host, target, authorization, options);
    if (answer.has_value() || answer.error().message.starts_with("Unexpected status")) break;
  }
  // As dockerd: whatever is wrong with the index is an error of ours.
  if (!answer) co_return Error{Code::internal, answer.error().message};
  co_return answer;
}

}  // namespace lab::engine::registry
