// labd's control API for forwards, beside that of netsim/control.hpp:
//   GET  /forwards {"forwards":[{"host":8080,"machine":"vm1","port":80,"labfile":true,...}]} POST
//   /forwards/add     {"host":8080,"machine":"vm1","port":80} POST /forwards/remove  {"host":8080}
// Every POST answers with the body of GET /forwards; an error has changed nothing. What is added
// live is kept in a file, for a restart of labd after a crash.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/json/object.hpp>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "base/http_server.hpp"
#include "netsim/daemon_config.hpp"
#include "provision/forward/forwarder.hpp"

namespace lab::provision {

class ForwardControl {
 public:
  // Told of each (machine, port) that no forward leads to any more.
  using Unused = std::function<void(const Forward&)>;

  // `forwarder` outlives the control.
  ForwardControl(Forwarder& forwarder, std::filesystem::path kept, Unused unused);

  // The labfile's forwards and the lab's machines. The first call also takes over what was kept.
  // Live ones whose port the labfile now has, or whose machine is gone, end. Code::conflict for a
  // port that is taken; then nothing has changed.
  [[nodiscard]] Result<void> configure(const netsim::DaemonConfig& config);
  // What was added live ends with this labd.
  void forget() const;

  // The control must outlive the router.
  void add_routes(http::Router& router);

 private:
  using Change = Result<void> (ForwardControl::*)(const boost::json::object& body);
  boost::asio::awaitable<Result<void>> get(http::Exchange& exchange);
  boost::asio::awaitable<Result<void>> post(http::Exchange& exchange, Change change);
  Result<void> add(const boost::json::object& body);
  Result<void> remove(const boost::json::object& body);
  Result<void> apply(std::vector<Forward> labfile, std::vector<Forward> live);
  [[nodiscard]] boost::json::object forwards() const;
  [[nodiscard]] Result<std::vector<Forward>> read_kept() const;
  void keep() const;

  Forwarder& forwarder_;
  std::filesystem::path kept_;
  Unused unused_;
  bool configured_ = false;
  std::vector<std::string> machines_;
  std::vector<Forward> labfile_;
  std::vector<Forward> live_;
};

}  // namespace lab::provision
