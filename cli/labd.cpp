// labd: the daemon of one running lab. Joins its virtual switch, the control API over it, the
// forwarded ports and the image mirror.
#include <fmt/core.h>
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <boost/asio/co_spawn.hpp>
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
#include "provision/forward/forward_control.hpp"
#include "provision/forward/forwarder.hpp"
#include "provision/mirror.hpp"
#include "vm/provider.hpp"

namespace lab {
namespace {

namespace asio = boost::asio;
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

// The forwarded ports. Machines are asked for a port in their emulator, each time through a
// connection to libvirt of its own, so that its daemon may end while nothing is asked.
class Forwards {
 public:
  Forwards(asio::io_context& io, const fs::path& folder)
      : io_(io),
        forwarder_(io.get_executor(), [this](provision::Forward forward) { return open(forward); }),
        control_(forwarder_, folder / "forwards.json",
                 [this](const provision::Forward& forward) { close_later(forward); }) {}

  Result<void> configure(const netsim::DaemonConfig& config) {
    lab_id_ = config.lab_id;
    libvirt_uri_ = config.libvirt_uri;
    return control_.configure(config);
  }
  void add_routes(http::Router& router) { control_.add_routes(router); }
  void stop(bool forget) {
    forwarder_.stop();
    if (forget) control_.forget();
  }

 private:
  asio::awaitable<Result<provision::Forwarder::Way>> open(provision::Forward forward) {
    const auto provider = vm::make_libvirt_provider(libvirt_uri_);
    vm::MachineId id{lab_id_, forward.machine};
    LAB_CO_TRY(const vm::PortRelay relay,
               co_await provider->open_port(std::move(id), forward.port));
    co_return provision::Forwarder::Way{relay.host_address, relay.host_port};
  }
  asio::awaitable<void> close(provision::Forward forward) {
    const auto provider = vm::make_libvirt_provider(libvirt_uri_);
    vm::MachineId id{lab_id_, forward.machine};
    const auto closed = co_await provider->close_port(std::move(id), forward.port);
    if (!closed) log::warning("{}", closed.error().message);
  }
  void close_later(const provision::Forward& forward) {
    asio::co_spawn(io_, close(forward), [](const std::exception_ptr& bug) {
      if (bug) std::rethrow_exception(bug);
    });
  }

  asio::io_context& io_;
  std::string lab_id_;
  std::string libvirt_uri_;
  provision::Forwarder forwarder_;
  provision::ForwardControl control_;
};

// The mirror with its server; without a configuration it serves nothing.
class MirrorServer {
 public:
  explicit MirrorServer(asio::io_context& io) : server_(io.get_executor(), std::ref(router_)) {}

  // Gives the port.
  Result<std::uint16_t> start(const netsim::MirrorConfig& config) {
    mirror_.emplace(config.catalogue);
    mirror_->add_routes(router_);
    auto port = server_.listen_tcp(config.address, config.port);
    if (!port) return port.error().wrap("image mirror");
    log::info("image mirror on {}:{}, serving {}", config.address, *port, config.catalogue);
    return port;
  }
  void stop() {
    server_.stop();
    if (mirror_) mirror_->stop();
  }

 private:
  std::optional<provision::Mirror> mirror_;
  http::Router router_;
  http::Server server_;
};

// As many connections as the system allows this user.
void raise_descriptor_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  (void)setrlimit(RLIMIT_NOFILE, &limit);
}

Result<void> run(const Options& options) {
  LAB_TRY(const auto config, netsim::read_daemon_config(options.config));
  LAB_TRY(const Fd lock, lock_lab(options.config));
  const SystemClock clock;
  boost::asio::io_context io(1);
  boost::asio::signal_set signals(io, SIGTERM, SIGINT);
  netsim::Switch lab_switch(clock, Random(secure_random_seed()));
  const LiveSettings live(options.config.parent_path() / "net.json");
  Forwards forwards(io, options.config.parent_path());
  bool asked_to_end = false;
  const auto end = [&] {
    asked_to_end = true;
    io.stop();
  };

  netsim::Control control(
      lab_switch, clock,
      {.read_config = [&] { return netsim::read_daemon_config(options.config); },
       .reconfigure = [&](const netsim::DaemonConfig& read) { return forwards.configure(read); },
       .shutdown = end,
       .changed = [&](const netsim::NetState& state) { live.keep(state); }});
  LAB_CHECK(control.configure(config));
  LAB_CHECK(forwards.configure(config));
  live.restore(control);
  signals.async_wait([&](const boost::system::error_code& failure, int signal) {
    if (failure) return;
    log::info("ending on signal {}", signal);
    end();
  });

  MirrorServer mirror(io);
  if (config.mirror) {
    LAB_TRY(const std::uint16_t port, mirror.start(*config.mirror));
    control.set_mirror_port(port);
  }
  http::Router control_router;
  control.add_routes(control_router);
  forwards.add_routes(control_router);
  http::Server control_server(io.get_executor(), std::ref(control_router));
  LAB_CHECK(lab_switch.start());
  // Last: who finds the socket finds a labd that works.
  LAB_CHECK(control_server.listen_unix(config.control_socket, 0600));
  log::info("lab {}: switch of {} ports, control socket {}", config.lab, config.ports.size(),
            config.control_socket);
  io.run();

  control_server.stop();
  mirror.stop();
  forwards.stop(asked_to_end);
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
  raise_descriptor_limit();
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
