#include "provision/lab/registry_check.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "base/http_client.hpp"

namespace lab::provision {

namespace asio = boost::asio;

namespace {

constexpr std::chrono::milliseconds look_again(20);
constexpr std::chrono::seconds answer_time(10);

Result<http::Endpoint> endpoint_of(const RegistryToCheck& registry, const vm::PortRelay& relay) {
  http::Endpoint endpoint;
  endpoint.host = relay.host_address;
  endpoint.port = relay.host_port;
  endpoint.server_name = registry.address;
  if (!registry.tls) return endpoint;
  tls::Options options;
  options.authorities_pem = {registry.authority_pem};
  LAB_TRY(endpoint.tls, tls::Context::client(options));
  return endpoint;
}

Task answer_once(http::Endpoint endpoint) {
  http::Client client(co_await asio::this_coro::executor, std::move(endpoint));
  http::ClientRequest request;
  request.target = "/v2/";
  request.timeout = request.body_timeout = answer_time;
  LAB_CO_TRY(const http::Response response, co_await client.fetch(std::move(request)));
  if (response.status == 200) co_return Result<void>{};
  co_return make_error(Code::unavailable, "GET /v2/ has status {}", response.status);
}

Task answer_in_time(http::Endpoint endpoint, const Clock& clock, std::chrono::seconds time) {
  const TimePoint deadline = clock.now() + time;
  asio::steady_timer timer(co_await asio::this_coro::executor);
  for (;;) {
    const Result<void> answered = co_await answer_once(endpoint);
    if (answered) co_return answered;
    if (clock.now() >= deadline)
      co_return make_error(Code::deadline_exceeded, "no answer within {} s; last: {}", time.count(),
                           answered.error().message);
    timer.expires_after(look_again);
    co_await timer.async_wait(asio::as_tuple(asio::use_awaitable));
  }
}

}  // namespace

Task wait_for_registry(vm::Provider& provider, RegistryToCheck registry, const Clock& clock,
                       std::chrono::seconds time) {
  vm::MachineId id = registry.machine;
  LAB_CO_TRY(const vm::PortRelay relay, co_await provider.open_port(id, registry.port));
  LAB_CO_TRY(http::Endpoint endpoint, endpoint_of(registry, relay));
  const Result<void> answered = co_await answer_in_time(std::move(endpoint), clock, time);
  if (!registry.keep_relay) LAB_CO_CHECK(co_await provider.close_port(id, registry.port));
  if (answered) co_return answered;
  co_return answered.error().wrap("the registry at {}:{}", registry.address, registry.port);
}

}  // namespace lab::provision
