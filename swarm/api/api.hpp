// Docker's swarm and node endpoints (API v1.24 to v1.41) over a Daemon: /swarm*, /nodes*, the
// lists of services, tasks, secrets and configs, and `GET /info`, whose answer is the `Swarm`
// object of an engine's /info. Status codes and texts are dockerd 20.10's.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <string>

#include "base/http_server.hpp"
#include "swarm/daemon/daemon.hpp"

namespace lab::swarm::api {

class Api {
 public:
  // `daemon` must outlive the api, and the api every server that uses its router.
  explicit Api(daemon::Daemon& daemon);
  Api(const Api&) = delete;
  Api& operator=(const Api&) = delete;

  [[nodiscard]] boost::asio::awaitable<Result<void>> handle(http::Exchange& exchange) {
    return router_(exchange);
  }

 private:
  using Answer = boost::asio::awaitable<Result<http::Response>>;
  using Method = Answer (Api::*)(http::Exchange&);
  void add(std::string_view method, std::string_view pattern, Method handler);
  // Runs the method and puts errors into Docker's form.
  boost::asio::awaitable<Result<void>> run(Method method, http::Exchange& exchange);

  Answer info(http::Exchange& exchange);
  Answer swarm_inspect(http::Exchange& exchange);
  Answer swarm_init(http::Exchange& exchange);
  Answer swarm_join(http::Exchange& exchange);
  Answer swarm_leave(http::Exchange& exchange);
  Answer swarm_update(http::Exchange& exchange);
  Answer swarm_unlock_key(http::Exchange& exchange);
  Answer swarm_unlock(http::Exchange& exchange);
  Answer node_list(http::Exchange& exchange);
  Answer node_inspect(http::Exchange& exchange);
  Answer node_update(http::Exchange& exchange);
  Answer node_remove(http::Exchange& exchange);
  Answer empty_list(http::Exchange& exchange);
  Answer nothing_found(http::Exchange& exchange);

  // This node is a manager with a store; else dockerd's text.
  [[nodiscard]] Result<void> require_manager() const;
  // What a read stands on: the store holds all that was written before, and the leader says which
  // managers there are.
  [[nodiscard]] boost::asio::awaitable<Result<proto::ControlResponse>> fresh();
  [[nodiscard]] boost::asio::awaitable<Result<proto::ControlResponse>> write(
      proto::ControlRequest body);
  [[nodiscard]] boost::asio::awaitable<std::string> objection_to_leaving();
  // By id, host name or the beginning of an id, in this order.
  [[nodiscard]] Result<store::NodePtr> find_node(const std::string& name) const;

  daemon::Daemon& daemon_;
  http::Router router_{true};
};

// The answer for an error: {"message": ...} with the status that dockerd gives it, which for the
// texts of gRPC errors follows from the code in them.
[[nodiscard]] http::Response api_error(const Error& error);

}  // namespace lab::swarm::api
