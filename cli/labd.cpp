// labd: the daemon of one running lab. Joins its virtual switch, the control API over it and the
// image mirror.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <csignal>
#include <exception>
#include <filesystem>
#include <functional>
#include <optional>

#include "base/clock.hpp"
#include "base/error.hpp"
#include "base/file.hpp"
#include "base/http_server.hpp"
#include "base/log.hpp"
#include "base/random.hpp"
#include "netsim/control.hpp"
#include "netsim/daemon_config.hpp"
#include "netsim/switch.hpp"
#include "provision/mirror.hpp"

namespace lab {
namespace {

namespace fs = std::filesystem;

struct Options {
  fs::path config;
  bool debug = false;
};

// What was set live outlives a crash, in a file beside the configuration; a shutdown that was asked
// for removes it.
class LiveSettings {
 public:
  explicit LiveSettings(fs::path path) : path_(std::move(path)) {}

  void restore(netsim::Control& control) const {
    std::error_code ignored;
    if (!fs::exists(path_, ignored)) return;
    const auto restored = [&]() -> Result<void> {
      LAB_TRY(const std::string text, read_file(path_));
      boost::system::error_code failure;
      const auto value = boost::json::parse(text, failure);
      if (failure) return make_error(Code::invalid_argument, "not JSON: {}", failure.message());
      return control.restore(value);
    }();
    if (restored) {
      log::info("took over the link settings of the labd before");
    } else {
      log::warning("{}: {}; the links are as in the labfile", path_.string(),
                   restored.error().message);
    }
  }

  void keep(const netsim::NetState& state) const {
    if (state.pristine()) return forget();
    const auto kept = write_file(path_, boost::json::serialize(state.save()), 0600);
    if (!kept) log::warning("{}: {}", path_.string(), kept.error().message);
  }

  void forget() const {
    std::error_code ignored;
    fs::remove(path_, ignored);
  }

 private:
  fs::path path_;
};

// Held while labd lives. A socket file alone does not tell two that start at once apart.
Result<Fd> lock_lab(const fs::path& config) {
  const fs::path path = config.parent_path() / "labd.lock";
  auto lock = lock_file(path, 0);
  if (lock || lock.error().code != Code::conflict) return lock;
  return make_error(Code::conflict, "a labd runs for {} already: {} is locked", config.string(),
                    path.string());
}

Result<void> run(const Options& options) {
  LAB_TRY(const auto config, netsim::read_daemon_config(options.config));
  LAB_TRY(const Fd lock, lock_lab(options.config));
  const SystemClock clock;
  boost::asio::io_context io(1);
  boost::asio::signal_set signals(io, SIGTERM, SIGINT);
  netsim::Switch lab_switch(clock, Random(secure_random_seed()));
  const LiveSettings live(options.config.parent_path() / "net.json");
  bool asked_to_end = false;

  netsim::Control control(
      lab_switch, clock,
      {.read_config = [&] { return netsim::read_daemon_config(options.config); },
       .shutdown =
           [&] {
             asked_to_end = true;
             io.stop();
           },
       .changed = [&](const netsim::NetState& state) { live.keep(state); }});
  LAB_CHECK(control.configure(config));
  live.restore(control);
  signals.async_wait([&](const boost::system::error_code& failure, int signal) {
    if (failure) return;
    log::info("ending on signal {}", signal);
    asked_to_end = true;
    io.stop();
  });

  std::optional<provision::Mirror> mirror;
  http::Router mirror_router;
  if (config.mirror) {
    mirror.emplace(config.mirror->catalogue);
    mirror->add_routes(mirror_router);
  }
  http::Server mirror_server(io.get_executor(), std::ref(mirror_router));
  if (config.mirror) {
    auto port = mirror_server.listen_tcp(config.mirror->address, config.mirror->port);
    if (!port) return port.error().wrap("image mirror");
    control.set_mirror_port(*port);
    log::info("image mirror on {}:{}, serving {}", config.mirror->address, *port,
              config.mirror->catalogue);
  }
  http::Router control_router;
  control.add_routes(control_router);
  http::Server control_server(io.get_executor(), std::ref(control_router));
  LAB_CHECK(lab_switch.start());
  // Last: who finds the socket finds a labd that works.
  LAB_CHECK(control_server.listen_unix(config.control_socket, 0600));
  log::info("lab {}: switch of {} ports, control socket {}", config.lab, config.ports.size(),
            config.control_socket);
  io.run();

  control_server.stop();
  mirror_server.stop();
  lab_switch.stop();
  if (asked_to_end) live.forget();
  std::error_code ignored;
  fs::remove(config.control_socket, ignored);
  log::info("ended");
  return {};
}

int main_with(int argc, char** argv) {
  Options options;
  CLI::App app("The daemon of one running lab: virtual switch, control API, image mirror.", "labd");
  app.add_option("--config", options.config, "The lab's labd.json")->required();
  app.add_flag("--debug", options.debug, "Log more");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  if (options.debug) log::set_level(log::Level::debug);
  std::error_code ignored;
  options.config = fs::absolute(options.config, ignored);
  (void)std::signal(SIGPIPE, SIG_IGN);
  const auto result = run(options);
  if (!result) {
    log::error("{}", result.error().message);
    return exit_status(result.error().code);
  }
  return 0;
}

}  // namespace
}  // namespace lab

int main(int argc, char** argv) {
  try {
    return lab::main_with(argc, argv);
  } catch (const std::exception& error) {
    lab::log::error("internal error: {}", error.what());
    return 1;
  }
}
