// swarmd: the swarm agent of a node, and the manager on those that are one.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <csignal>
#include <cstdio>
#include <exception>

#include "base/clock.hpp"
#include "base/file.hpp"
#include "base/http_server.hpp"
#include "base/log.hpp"
#include "swarm/api/api.hpp"
#include "swarm/daemon/daemon.hpp"

namespace {

namespace asio = boost::asio;
using namespace lab;

struct Settings {
  std::string state_dir = "/var/lib/swarmd";
  std::string api_socket = "/run/swarmd/api.sock";
  std::string engine_socket = "/var/run/docker.sock";
  std::uint16_t listen_port = 2377;
  unsigned snapshot_interval = 10'000;
  unsigned snapshot_trailing = 500;
  bool debug = false;
};

Result<int> serve(const Settings& settings) {
  SystemClock clock;
  asio::io_context io;
  int status = 0;
  swarm::daemon::DaemonOptions options;
  options.state_dir = settings.state_dir;
  options.engine_socket = settings.engine_socket;
  options.listen_port = settings.listen_port;
  options.node.snapshot_threshold = settings.snapshot_interval;
  options.node.snapshot_trailing = settings.snapshot_trailing;
  swarm::daemon::Daemon daemon(io.get_executor(), clock, std::move(options),
                               [&](const std::string& why) {
                                 log::error("{}", why);
                                 status = 1;
                                 io.stop();
                               });
  LAB_CHECK(daemon.start());
  if (status != 0) return status;

  swarm::api::Api api(daemon);
  http::Server server(io.get_executor(),
                      [&api](http::Exchange& exchange) { return api.handle(exchange); });
  std::filesystem::path folder = std::filesystem::path(settings.api_socket).parent_path();
  if (!folder.empty()) LAB_CHECK(make_directories(folder, 0755));
  LAB_CHECK(server.listen_unix(settings.api_socket, 0660));
  log::info("swarmd {} serves its API on {}", LAB_VERSION, settings.api_socket);

  asio::signal_set signals(io, SIGTERM, SIGINT);
  signals.async_wait([&](boost::system::error_code error, int number) {
    if (error) return;
    log::info("ending on signal {}", number);
    server.stop();
    daemon.stop();
    io.stop();
  });
  io.run();
  return status;
}

int run(int argc, char** argv) {
  Settings settings;
  CLI::App app("The swarm agent and manager of a node.", "swarmd");
  app.add_option("--state-dir", settings.state_dir, "Folder for keys, certificate and Raft log")
      ->capture_default_str();
  app.add_option("--api-socket", settings.api_socket, "Unix socket on which the API is served")
      ->capture_default_str();
  app.add_option("--engine-socket", settings.engine_socket,
                 "Unix socket of this node's container engine")
      ->capture_default_str();
  app.add_option("--listen-port", settings.listen_port, "TCP port for other nodes")
      ->capture_default_str();
  app.add_option("--snapshot-interval", settings.snapshot_interval,
                 "Entries of the Raft log between snapshots")
      ->capture_default_str();
  app.add_option("--snapshot-trailing", settings.snapshot_trailing,
                 "Entries kept behind a snapshot for managers that lag")
      ->capture_default_str();
  app.add_flag("--debug", settings.debug, "Log more");
  app.set_version_flag("--version", LAB_VERSION);
  CLI11_PARSE(app, argc, argv);
  log::set_level(settings.debug ? log::Level::debug : log::Level::info);
  Result<int> status = serve(settings);
  if (status) return *status;
  fmt::print(stderr, "swarmd: {}\n", status.error().message);
  return exit_status(status.error().code);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception& error) {
    fmt::print(stderr, "swarmd: internal error: {}\n", error.what());
    return 1;
  }
}
