// The name server of containers: answers at 127.0.0.11 inside each container's network namespace
// what the name table knows, and asks the host's name servers for the rest. Questions are asked in
// the host's namespace. On the event loop's thread.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <map>
#include <memory>
#include <string>

#include "base/random.hpp"
#include "engine/network/dns/message.hpp"
#include "engine/network/dns/name_table.hpp"
#include "engine/network/dns/sockets.hpp"
#include "engine/network/network.hpp"
#include "engine/util/async.hpp"

namespace lab::engine::network::dns {

class Server {
 public:
  // `table` outlives the server.
  Server(const boost::asio::any_io_executor& executor, const NameTable& table);
  ~Server();

  void serve(const Sandbox& sandbox, Sockets sockets);
  [[nodiscard]] bool serves(const std::string& sandbox_id) const;
  // The sandbox's networks or name servers have changed.
  void update(const Sandbox& sandbox);
  void stop(const std::string& sandbox_id);

 private:
  struct Service;
  using ServicePtr = std::shared_ptr<Service>;

  [[nodiscard]] boost::asio::awaitable<void> answer_datagrams(ServicePtr service);
  [[nodiscard]] boost::asio::awaitable<void> accept_streams(ServicePtr service);
  [[nodiscard]] boost::asio::awaitable<void> answer_stream(
      ServicePtr service, std::shared_ptr<boost::asio::ip::tcp::socket> stream);
  // What is known here; empty when others have to be asked.
  [[nodiscard]] std::string local_answer(const Service& service, const std::string& packet,
                                         const Query& query, bool stream);

  Background background_;
  const NameTable& table_;
  Random random_;
  std::map<std::string, ServicePtr> services_;
};

}  // namespace lab::engine::network::dns
