// engined: the container engine. Takes dockerd's flags and daemon.json.
#include <signal.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <cstdio>
#include <exception>

#include "base/clock.hpp"
#include "base/file.hpp"
#include "base/log.hpp"
#include "engine/api/server.hpp"
#include "engine/daemon_config.hpp"
#include "engine/engine.hpp"
#include "engine/registry/preload.hpp"
#include "engine/util/privileges.hpp"

namespace lab::engine {

namespace asio = boost::asio;

namespace {

constexpr const char* default_config_file = "/etc/docker/daemon.json";
constexpr const char* default_host = "unix:///var/run/docker.sock";

struct Arguments {
  DaemonConfig config;
  DaemonConfig from_flags;         // without what the file says
  std::vector<std::string> flags;  // names of those that were given, as daemon.json spells them
  std::string config_file = default_config_file;
  std::string preload;  // an OCI image layout: unpack its layers and end
};

void add_options(CLI::App& app, Arguments& arguments) {
  DaemonConfig& config = arguments.config;
  app.add_option("-H,--host,--hosts", config.hosts, "Where to listen: unix://, tcp://, fd://");
  app.add_option("--data-root", config.data_root, "Where images, containers and volumes are kept");
  app.add_option("--exec-root", config.exec_root, "Where the state of running containers is");
  app.add_option("-p,--pidfile", config.pidfile, "File for the own process id");
  app.add_option("--config-file", arguments.config_file, "dockerd's daemon.json");
  app.add_option("--registry-mirror", config.registry.mirrors, "Mirror of Docker Hub");
  app.add_option("--insecure-registry", config.registry.insecure_registries,
                 "Registry to be used without TLS or a known certificate");
  app.add_option("--bip", config.bip, "Address and prefix of the default bridge");
  app.add_option("--mtu", config.mtu, "MTU of container networks");
  app.add_option("-G,--group", config.group, "Group of the API socket");
  app.add_option("--label", config.labels, "Label of this engine");
  app.add_option("--swarm-socket", config.swarm_socket, "Where swarmd's API is");
  app.add_option("--crun", config.crun, "The OCI runtime");
  app.add_option("--conmon", config.conmon, "The container monitor");
  app.add_option("--certs-dir", config.registry.certificates_directory,
                 "Certificates of registries, one folder each");
  app.add_option("--preload", arguments.preload,
                 "Unpack the layers of an OCI image layout, so that pulls find them, and end");
  app.add_flag("-D,--debug", config.debug, "Log every request");
  app.add_flag("--experimental", config.experimental, "Allow what Docker calls experimental");
  app.add_flag("--tlsverify", config.tls_verify, "Serve tcp:// hosts with mutual TLS");
  app.add_option("--tlscacert", config.tls_ca_certificate, "Whose clients are trusted");
  app.add_option("--tlscert", config.tls_certificate, "Own certificate");
  app.add_option("--tlskey", config.tls_key, "Own key");
}

// Names of the options that were given, as daemon.json spells them.
std::vector<std::string> given_flags(const CLI::App& app) {
  std::vector<std::string> flags;
  for (const CLI::Option* option : app.get_options()) {
    if (option->count() == 0) continue;
    std::string name = option->get_name();
    name.erase(0, std::min(name.find_first_not_of('-'), name.size()));
    if (name == "host") name = "hosts";
    if (name == "registry-mirror") name = "registry-mirrors";
    if (name == "insecure-registry") name = "insecure-registries";
    if (name == "label") name = "labels";
    flags.push_back(name);
  }
  return flags;
}

Result<void> read_config_file(Arguments& arguments) {
  arguments.config = arguments.from_flags;
  Result<std::string> text = read_file(arguments.config_file);
  if (!text) {
    bool missing = text.error().code == Code::not_found;
    if (missing && arguments.config_file == default_config_file) return {};
    return std::move(text).error();
  }
  Result<void> applied = apply_config_file(arguments.config, *text, arguments.flags);
  if (!applied) return applied.error().wrap("{}", arguments.config_file);
  return {};
}

// dockerd's answer to SIGHUP. What it cannot read changes nothing.
asio::awaitable<void> reload_when_told(Engine& engine, Arguments arguments) {
  asio::signal_set signals(co_await asio::this_coro::executor, SIGHUP);
  for (;;) {
    auto [failure, number] = co_await signals.async_wait(asio::as_tuple(asio::use_awaitable));
    if (failure) co_return;
    log::info("reloading {}", arguments.config_file);
    Result<void> done = read_config_file(arguments);
    if (done) {
      log::set_level(arguments.config.debug ? log::Level::debug : log::Level::info);
      DaemonConfig fresh = arguments.config;
      done = co_await engine.reload(std::move(fresh));
    }
    if (!done) log::error("reloading {}: {}", arguments.config_file, done.error().message);
  }
}

// A failure in here ends the process; 0 is the end by a signal.
asio::awaitable<Result<void>> serve(Arguments arguments, const Clock& clock) {
  DaemonConfig config = arguments.config;
  asio::any_io_executor executor = co_await asio::this_coro::executor;
  TimePoint begin = clock.now();
  LAB_CO_TRY(std::unique_ptr<Engine> engine, Engine::open(executor, std::move(config), clock));
  LAB_CO_CHECK(co_await engine->start());
  api::ApiServer server(*engine);
  for (const std::string& host : engine->config().hosts) LAB_CO_CHECK(server.listen(host));
  if (!engine->config().pidfile.empty())
    LAB_CO_CHECK(write_file(engine->config().pidfile, fmt::format("{}\n", getpid())));
  log::info("listening on {} after {} ms", fmt::join(engine->config().hosts, ", "),
            std::chrono::duration_cast<std::chrono::milliseconds>(clock.now() - begin).count());
  asio::co_spawn(executor, reload_when_told(*engine, std::move(arguments)),
                 [](const std::exception_ptr& bug) {
                   if (bug) log::error("SIGHUP is not heard any more: internal error");
                 });
  asio::signal_set signals(executor, SIGINT, SIGTERM);
  auto [failure, number] = co_await signals.async_wait(asio::as_tuple(asio::use_awaitable));
  log::info("signal {}: stopping; containers run on", number);
  server.stop();
  if (!engine->config().pidfile.empty()) unlink(engine->config().pidfile.c_str());
  // Requests that are under way refer to the engine, so it is not taken apart: its state is on
  // disk at every instant.
  static_cast<void>(engine.release());
  co_return Result<void>();
}

Result<void> preload(const Arguments& arguments, const Clock& clock) {
  const std::filesystem::path& data_root = arguments.config.data_root;
  LAB_CHECK(make_directories(data_root, 0711));
  LAB_TRY(const Fd lock, lock_data_root(data_root));
  LAB_TRY(const auto store, image::ImageStore::open({data_root}, clock));
  return registry::preload_layers(*store, arguments.preload);
}

int run(int argc, char** argv) {
  Arguments arguments;
  CLI::App app("The container engine of swarmlab: Docker's API on crun and conmon.", "engined");
  app.set_version_flag("-v,--version", "engined version " LAB_VERSION);
  add_options(app, arguments);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  arguments.from_flags = arguments.config;
  arguments.flags = given_flags(app);
  if (Result<void> read = read_config_file(arguments); !read) {
    fmt::print(stderr, "engined: {}\n", read.error().message);
    return 1;
  }
  if (!arguments.preload.empty()) {
    const Result<void> preloaded = preload(arguments, SystemClock());
    if (!preloaded) fmt::print(stderr, "engined: {}\n", preloaded.error().message);
    return preloaded ? 0 : 1;
  }
  if (arguments.config.hosts.empty()) arguments.config.hosts.emplace_back(default_host);
  if (arguments.config.debug) log::set_level(log::Level::debug);
  signal(SIGPIPE, SIG_IGN);
  if (Result<void> dropped = drop_unused_capabilities(); !dropped) {
    fmt::print(stderr, "engined: {}\n", dropped.error().message);
    return 1;
  }
  SystemClock clock;
  asio::io_context context(1);
  int status = 1;
  asio::co_spawn(context, serve(arguments, clock),
                 [&status, &context](std::exception_ptr failure, Result<void> result) {
                   if (failure) {
                     fmt::print(stderr, "engined: internal error\n");
                   } else if (!result) {
                     fmt::print(stderr, "engined: {}\n", result.error().message);
                   } else {
                     status = 0;
                   }
                   context.stop();
                 });
  context.run();
  std::fflush(nullptr);
  _exit(status);
}

}  // namespace
}  // namespace lab::engine

int main(int argc, char** argv) {
  try {
    return lab::engine::run(argc, argv);
  } catch (const std::exception& error) {
    fmt::print(stderr, "engined: internal error: {}\n", error.what());
    return 1;
  }
}
