// labd's control API, HTTP and JSON on a Unix socket that only its user can open:
//   GET  /status         the lab, its ports and traffic, the mirror's address
//   GET  /net            every link's quality, counters and drops; the partition
//   GET  /net/capture    frames as pcapng, while the client reads (capture_stream.hpp)
//   POST /net/set        {"links":[{"from":"vm1","to":"*","delay":"10ms",...},...]}: merges
//   POST /net/reset      {"links":[{"from":"vm1","to":"vm2"}]}, or {}: as in the labfile again
//   POST /net/partition  {"groups":[["vm1"],["vm2","vm3"]]}
//   POST /net/heal       ends the partition
//   POST /net/pause      no frame moves, while machines are saved or started from saved states
//   POST /net/resume     {"discard":true}: frames that wait are thrown away
//   POST /reload         reads the configuration file again
//   POST /shutdown       ends labd, gracefully
// Every POST but the last answers with the body of GET /net. One direction per link: a rule for
// both has two entries. An error is {"message":"..."} with the status of its code, and has changed
// nothing.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/json/object.hpp>
#include <functional>
#include <string>

#include "base/clock.hpp"
#include "base/error.hpp"
#include "base/http_server.hpp"
#include "netsim/daemon_config.hpp"
#include "netsim/net_state.hpp"
#include "netsim/switch.hpp"

namespace lab::netsim {

class Control {
 public:
  // How the control API reaches the rest of labd.
  struct Hooks {
    std::function<Result<DaemonConfig>()> read_config;
    // The parts of labd that are not the switch take a configuration read anew; may be empty.
    std::function<Result<void>(const DaemonConfig&)> reconfigure;
    std::function<void()> shutdown;
    // After each change of what is set live; gives it to be kept for a restart after a crash.
    std::function<void(const NetState&)> changed;
  };

  // `lab_switch` and `clock` outlive the control. Not thread-safe: the event loop's thread only.
  Control(Switch& lab_switch, const Clock& clock, Hooks hooks);
  Control(const Control&) = delete;
  Control& operator=(const Control&) = delete;

  // Ports and links as configured: at the start and for POST /reload. Control socket and mirror
  // are as they were at the start: changing them is Code::unsupported.
  [[nodiscard]] Result<void> configure(DaemonConfig config);
  // Takes over what another labd of this lab had set live (NetState::save()).
  [[nodiscard]] Result<void> restore(const boost::json::value& saved);
  // The mirror's port, once it listens.
  void set_mirror_port(std::uint16_t port) { mirror_port_ = port; }

  // The control must outlive the router.
  void add_routes(http::Router& router);

  [[nodiscard]] boost::json::object status() const;
  [[nodiscard]] boost::json::object net() const;

 private:
  boost::asio::awaitable<Result<void>> get_status(http::Exchange& exchange);
  boost::asio::awaitable<Result<void>> get_net(http::Exchange& exchange);
  boost::asio::awaitable<Result<void>> get_capture(http::Exchange& exchange);
  using Change = Result<void> (Control::*)(const boost::json::object& body);
  boost::asio::awaitable<Result<void>> post(http::Exchange& exchange, Change change);
  boost::asio::awaitable<Result<void>> post_shutdown(http::Exchange& exchange);
  Result<void> set(const boost::json::object& body);
  Result<void> reset(const boost::json::object& body);
  Result<void> partition(const boost::json::object& body);
  Result<void> heal(const boost::json::object& body);
  Result<void> pause(const boost::json::object& body);
  Result<void> resume(const boost::json::object& body);
  Result<void> reload(const boost::json::object& body);
  void apply();

  Switch& switch_;
  const Clock& clock_;
  Hooks hooks_;
  TimePoint started_;
  WallTime started_wall_;
  DaemonConfig config_;
  NetState state_;
  bool configured_ = false;
  std::uint16_t mirror_port_ = 0;
};

}  // namespace lab::netsim
