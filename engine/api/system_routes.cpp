#include <sys/statfs.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <boost/json/serialize.hpp>

#include "base/file.hpp"
#include "engine/api/exchange.hpp"
#include "engine/api/routes.hpp"
#include "engine/api/version.hpp"
#include "engine/util/json.hpp"

namespace lab::engine::api {

namespace asio = boost::asio;
namespace json = boost::json;

namespace {

asio::awaitable<Result<void>> ping(Engine&, http::Exchange& exchange) {
  http::Response response;
  response.headers = {{"Builder-Version", "1"},
                      {"Cache-Control", "no-cache, no-store, must-revalidate"},
                      {"Pragma", "no-cache"},
                      {"Content-Type", "text/plain; charset=utf-8"}};
  if (exchange.request().method == "HEAD") {
    response.headers.set("Content-Length", "0");
  } else {
    response.body = "OK";
  }
  co_return co_await exchange.respond(std::move(response));
}

std::string kernel_version() {
  utsname name{};
  uname(&name);
  return name.release;
}

asio::awaitable<Result<void>> version(Engine& engine, http::Exchange& exchange) {
  json::object details{{"ApiVersion", api_version},
                       {"Arch", "amd64"},
                       {"BuildTime", ""},
                       {"Experimental", engine.config().experimental ? "true" : "false"},
                       {"GitCommit", ""},
                       {"GoVersion", ""},
                       {"KernelVersion", kernel_version()},
                       {"MinAPIVersion", api_version_min},
                       {"Os", "linux"}};
  json::object document{{"Platform", json::object{{"Name", "swarmlab engined"}}},
                        {"Components", json::array{json::object{{"Name", "Engine"},
                                                                {"Version", LAB_VERSION},
                                                                {"Details", std::move(details)}}}},
                        {"Version", LAB_VERSION},
                        {"ApiVersion", api_version},
                        {"MinAPIVersion", api_version_min},
                        {"GitCommit", ""},
                        {"GoVersion", ""},
                        {"Os", "linux"},
                        {"Arch", "amd64"},
                        {"KernelVersion", kernel_version()},
                        {"BuildTime", ""}};
  if (engine.config().experimental) document["Experimental"] = true;
  co_return co_await respond_json(exchange, 200, std::move(document));
}

// PRETTY_NAME and VERSION_ID of os-release.
std::pair<std::string, std::string> operating_system() {
  std::pair<std::string, std::string> found{"Linux", ""};
  Result<std::string> text = read_file("/etc/os-release", 1 << 16);
  if (!text) text = read_file("/usr/lib/os-release", 1 << 16);
  if (!text) return found;
  auto value = [&text](std::string_view key) {
    std::size_t at = text->find(key);
    if (at == std::string::npos || (at > 0 && (*text)[at - 1] != '\n')) return std::string();
    at += key.size();
    std::string line = text->substr(at, text->find('\n', at) - at);
    std::erase(line, '"');
    return line;
  };
  if (std::string pretty = value("PRETTY_NAME="); !pretty.empty()) found.first = pretty;
  found.second = value("VERSION_ID=");
  return found;
}

json::object index_document(std::string_view name, json::array mirrors, bool official) {
  return json::object{{"Name", name},
                      {"Mirrors", std::move(mirrors)},
                      {"Secure", official},
                      {"Official", official}};
}

json::object registry_document(const DaemonConfig& config) {
  json::array ranges;
  json::object indexes;
  for (const std::string& registry : config.registry.insecure_registries) {
    if (registry.find('/') != std::string::npos)
      ranges.emplace_back(registry);
    else
      indexes[registry] = index_document(registry, {}, false);
  }
  ranges.emplace_back("127.0.0.0/8");
  indexes["docker.io"] = index_document("docker.io", to_array(config.registry.mirrors), true);
  return json::object{{"AllowNondistributableArtifactsCIDRs", json::array()},
                      {"AllowNondistributableArtifactsHostnames", json::array()},
                      {"InsecureRegistryCIDRs", std::move(ranges)},
                      {"IndexConfigs", std::move(indexes)},
                      {"Mirrors", to_array(config.registry.mirrors)}};
}

std::string host_name() {
  char name[256] = {};
  gethostname(name, sizeof name - 1);
  return name;
}

// Backing file systems by the magic number of statfs, in dockerd's words.
std::string backing_file_system(const std::filesystem::path& root) {
  struct statfs info {};
  if (statfs(root.c_str(), &info) != 0) return "<unknown>";
  switch (static_cast<unsigned long>(info.f_type)) {
    case 0xEF53: return "extfs";
    case 0x58465342: return "xfs";
    case 0x9123683E: return "btrfs";
    case 0x01021994: return "tmpfs";
    case 0x794c7630: return "overlayfs";
    default: return "<unknown>";
  }
}

void add_counts(json::object& document, Engine& engine) {
  int running = 0;
  int paused = 0;
  int stopped = 0;
  for (const container::ContainerPtr& container : engine.containers().list()) {
    if (container->state.paused) {
      ++paused;
    } else if (container->state.running) {
      ++running;
    } else {
      ++stopped;
    }
  }
  document["Containers"] = running + paused + stopped;
  document["ContainersRunning"] = running;
  document["ContainersPaused"] = paused;
  document["ContainersStopped"] = stopped;
  document["Images"] = engine.images().list().size();
}

void add_host(json::object& document, Engine& engine) {
  struct sysinfo memory {};
  sysinfo(&memory);
  auto [system, system_version] = operating_system();
  const container::HostFeatures& host = engine.containers().host();
  document["SystemTime"] = format_rfc3339(engine.clock().wall_now());
  document["LoggingDriver"] = "json-file";
  document["CgroupDriver"] = "cgroupfs";
  document["CgroupVersion"] = host.cgroup_v2 ? "2" : "1";
  document["NEventsListener"] = 0;
  document["KernelVersion"] = kernel_version();
  document["OperatingSystem"] = system;
  document["OSVersion"] = system_version;
  document["OSType"] = "linux";
  document["Architecture"] = "x86_64";
  document["IndexServerAddress"] = "https://index.docker.io/v1/";
  document["RegistryConfig"] = registry_document(engine.config());
  document["NCPU"] = host.cpus;
  document["MemTotal"] = std::uint64_t{memory.totalram} * memory.mem_unit;
  document["GenericResources"] = nullptr;
  document["DockerRootDir"] = engine.config().data_root.string();
  document["HttpProxy"] = "";
  document["HttpsProxy"] = "";
  document["NoProxy"] = "";
  document["Name"] = host_name();
}

json::object info_document(Engine& engine) {
  json::object document{{"ID", engine.id()}};
  add_counts(document, engine);
  document["Driver"] = "overlay2";
  document["DriverStatus"] =
      json::array{json::array{"Backing Filesystem", backing_file_system(engine.config().data_root)},
                  json::array{"Supports d_type", "true"},
                  json::array{"Native Overlay Diff", "true"}, json::array{"userxattr", "false"}};
  document["Plugins"] = json::object{{"Volume", json::array{"local"}},
                                     {"Network", json::array{"bridge", "host", "null"}},
                                     {"Authorization", nullptr},
                                     {"Log", json::array{"json-file"}}};
  for (const char* feature : {"MemoryLimit", "SwapLimit", "KernelMemory", "KernelMemoryTCP",
                              "CpuCfsPeriod", "CpuCfsQuota", "CPUShares", "CPUSet", "PidsLimit",
                              "IPv4Forwarding", "BridgeNfIptables", "BridgeNfIp6tables"})
    document[feature] = true;
  document["Debug"] = engine.config().debug;
  document["NFd"] = 0;
  document["OomKillDisable"] = !engine.containers().host().cgroup_v2;
  document["NGoroutines"] = 0;
  add_host(document, engine);
  document["Labels"] = to_array(engine.config().labels);
  document["ExperimentalBuild"] = engine.config().experimental;
  document["ServerVersion"] = LAB_VERSION;
  document["Runtimes"] = json::object{{"crun", json::object{{"path", engine.config().crun}}}};
  document["DefaultRuntime"] = "crun";
  return document;
}

asio::awaitable<Result<void>> info(Engine& engine, http::Exchange& exchange) {
  json::object document = info_document(engine);
  document["Swarm"] = co_await swarm_info(engine);
  document["LiveRestoreEnabled"] = true;
  document["Isolation"] = "";
  document["InitBinary"] = "";
  for (const char* part : {"ContainerdCommit", "RuncCommit", "InitCommit"})
    document[part] = json::object{{"ID", ""}, {"Expected", ""}};
  const bool names_only = older_than(exchange, {1, 25});
  json::array security;
  if (engine.containers().host().seccomp)
    security.emplace_back(names_only ? "seccomp" : "name=seccomp,profile=default");
  if (engine.containers().host().cgroup_v2)
    security.emplace_back(names_only ? "cgroupns" : "name=cgroupns");
  if (names_only) document["ExecutionDriver"] = "<not supported>";
  document["SecurityOptions"] = std::move(security);
  document["Warnings"] = nullptr;
  co_return co_await respond_json(exchange, 200, std::move(document));
}

// There are none.
asio::awaitable<Result<void>> plugins(Engine&, http::Exchange& exchange) {
  co_return co_await respond_json(exchange, 200, json::array());
}

// What a browser asks before it sends a request from another page.
asio::awaitable<Result<void>> options(Engine&, http::Exchange& exchange) {
  co_return co_await respond_status(exchange, 200);
}

struct EventsRequest {
  std::optional<WallTime> since;
  std::optional<WallTime> until;
  Filters filters;
};

asio::awaitable<Result<void>> stream_events(Engine& engine, http::Exchange& exchange,
                                            EventsRequest request) {
  EventBus& bus = engine.events();
  // Either bound asks for what has been.
  std::uint64_t last = request.since || request.until ? 0 : bus.last_sequence();
  for (;;) {
    for (const Event& event : bus.since(last)) {
      last = event.sequence;
      if (request.since && event.time < *request.since) continue;
      if (request.until && event.time > *request.until) co_return Result<void>();
      if (!matches(event, request.filters)) continue;
      std::string line = json::serialize(to_json(event)) + "\n";
      LAB_CO_CHECK(co_await exchange.write(line));
    }
    TimePoint deadline = TimePoint::max();
    if (request.until) {
      auto left = *request.until - engine.clock().wall_now();
      if (left <= Duration::zero()) co_return Result<void>();
      deadline = engine.clock().now() + left;
    }
    if (bus.last_sequence() == last) co_await bus.added().wait_until(deadline);
  }
}

asio::awaitable<Result<void>> events(Engine& engine, http::Exchange& exchange) {
  EventsRequest request;
  const http::Query& query = exchange.request().query;
  const WallTime now = engine.clock().wall_now();
  // Unlike elsewhere, 0 is a time: the first event that is kept.
  if (std::string since = query.get("since"); !since.empty()) {
    LAB_CO_TRY(request.since, parse_time(since, now));
  }
  if (std::string until = query.get("until"); !until.empty()) {
    LAB_CO_TRY(request.until, parse_time(until, now));
  }
  if (request.until && *request.until < request.since.value_or(WallTime::min())) {
    co_return make_error(Code::invalid_argument,
                         "`since` time ({}) cannot be after `until` time ({})", query.get("since"),
                         query.get("until"));
  }
  LAB_CO_TRY(request.filters, read_filters(query));
  LAB_CO_CHECK(co_await exchange.read_all());
  http::Headers headers{{"Content-Type", "application/json"}};
  LAB_CO_CHECK(co_await exchange.start(200, std::move(headers)));
  LAB_CO_CHECK(
      co_await until_client_gone(exchange, stream_events(engine, exchange, std::move(request))));
  co_return co_await exchange.finish();
}

}  // namespace

void add_system_routes(http::Router& router, Engine& engine) {
  add_route(router, engine, "OPTIONS", "/", options);
  add_route(router, engine, "OPTIONS", "/{path...}", options);
  add_route(router, engine, "GET", "/_ping", ping);
  add_route(router, engine, "HEAD", "/_ping", ping);
  add_route(router, engine, "GET", "/plugins", plugins);
  add_route(router, engine, "GET", "/version", version);
  add_route(router, engine, "GET", "/info", info);
  add_route(router, engine, "GET", "/events", events);
}

}  // namespace lab::engine::api
