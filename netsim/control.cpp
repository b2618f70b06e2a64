#include "netsim/control.hpp"

#include <unistd.h>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <utility>

#include "base/log.hpp"
#include "netsim/capture_stream.hpp"
#include "netsim/json_fields.hpp"

namespace lab::netsim {

namespace asio = boost::asio;
namespace json = boost::json;

namespace {

constexpr std::size_t body_bytes_max = std::size_t{1} << 20;

// An empty body is an empty object: POST /net/heal needs none.
Result<json::object> parse_body(std::string_view text) {
  if (text.empty()) return json::object{};
  boost::system::error_code failure;
  json::value value = json::parse(text, failure);
  if (failure) {
    return make_error(Code::invalid_argument, "the body is not JSON: {}", failure.message());
  }
  if (!value.is_object()) return JsonFields::mismatch("the body", value, "an object");
  return std::move(value.get_object());
}

Result<std::vector<LinkRule>> parse_links(const json::object& body, RuleProperties properties) {
  JsonFields fields(body, "");
  LAB_TRY(const auto* links, fields.array("links"));
  LAB_CHECK(fields.no_others());
  std::vector<LinkRule> rules;
  for (std::size_t i = 0; links != nullptr && i < links->size(); ++i) {
    LAB_TRY(auto rule, parse_link_rule((*links)[i], fmt::format("links[{}]", i), properties));
    rules.push_back(std::move(rule));
  }
  return rules;
}

json::object counters_json(const Switch::LinkReport& report) {
  json::object dropped;
  for (std::size_t kind = 1; kind < drop_kinds; ++kind) {
    if (static_cast<Drop>(kind) == Drop::malformed) continue;  // counted at the port
    dropped[to_string(static_cast<Drop>(kind))] = report.counters.dropped[kind];
  }
  return {{"frames", report.counters.frames},
          {"bytes", report.counters.bytes},
          {"duplicated", report.counters.duplicated},
          {"corrupted", report.counters.corrupted},
          {"under_way", report.under_way},
          {"dropped", std::move(dropped)}};
}

}  // namespace

Control::Control(Switch& lab_switch, const Clock& clock, Hooks hooks)
    : switch_(lab_switch),
      clock_(clock),
      hooks_(std::move(hooks)),
      started_(clock.now()),
      started_wall_(clock.wall_now()) {}

Result<void> Control::configure(DaemonConfig config) {
  if (configured_) {
    const auto unchanged = [](std::string_view key, const auto& old, const auto& now) {
      if (old == now) return Result<void>{};
      return Result<void>{make_error(
          Code::unsupported, "{} is now \"{}\" and was \"{}\": that needs a restart of labd", key,
          now, old)};
    };
    LAB_CHECK(unchanged("control_socket", config_.control_socket, config.control_socket));
    LAB_CHECK(unchanged("mirror.port", config_.mirror ? config_.mirror->port : 0,
                        config.mirror ? config.mirror->port : 0));
    LAB_CHECK(unchanged("mirror.catalogue", config_.mirror ? config_.mirror->catalogue : "",
                        config.mirror ? config.mirror->catalogue : ""));
  }
  NetState next = state_;
  LAB_CHECK(next.configure(config.ports, config.links));
  std::vector<SwitchPort> ports;
  for (const MachinePort& port : config.ports) {
    ports.push_back({port.machine, port.switch_port, port.nic_port});
  }
  LAB_CHECK(switch_.set_ports(ports));
  state_ = std::move(next);
  config_ = std::move(config);
  configured_ = true;
  apply();
  return {};
}

Result<void> Control::restore(const json::value& saved) {
  NetState next = state_;
  LAB_CHECK(next.restore(saved));
  state_ = std::move(next);
  apply();
  return {};
}

void Control::apply() {
  switch_.set_links(
      [this](const std::string& from, const std::string& to) { return state_.link(from, to); });
}

void Control::add_routes(http::Router& router) {
  router.add("GET", "/status", [this](http::Exchange& exchange) { return get_status(exchange); });
  router.add("GET", "/net", [this](http::Exchange& exchange) { return get_net(exchange); });
  router.add("GET", "/net/capture",
             [this](http::Exchange& exchange) { return get_capture(exchange); });
  const auto add_change = [&](const char* path, Change change) {
    router.add("POST", path,
               [this, change](http::Exchange& exchange) { return post(exchange, change); });
  };
  add_change("/net/set", &Control::set);
  add_change("/net/reset", &Control::reset);
  add_change("/net/partition", &Control::partition);
  add_change("/net/heal", &Control::heal);
  add_change("/net/pause", &Control::pause);
  add_change("/net/resume", &Control::resume);
  add_change("/reload", &Control::reload);
  router.add("POST", "/shutdown",
             [this](http::Exchange& exchange) { return post_shutdown(exchange); });
}

asio::awaitable<Result<void>> Control::get_status(http::Exchange& exchange) {
  http::Response response = http::json_response(200, status());
  co_return co_await exchange.respond(std::move(response));
}

asio::awaitable<Result<void>> Control::get_net(http::Exchange& exchange) {
  http::Response response = http::json_response(200, net());
  co_return co_await exchange.respond(std::move(response));
}

asio::awaitable<Result<void>> Control::get_capture(http::Exchange& exchange) {
  LAB_CO_CHECK(co_await exchange.read_all(body_bytes_max));  // a client that goes shows after it
  log::info("capture begins: {}", exchange.request().target);
  const auto ended = co_await stream_capture(exchange, switch_);
  log::info("capture ended");
  co_return ended;
}

asio::awaitable<Result<void>> Control::post(http::Exchange& exchange, Change change) {
  LAB_CO_TRY(const std::string text, co_await exchange.read_all(body_bytes_max));
  LAB_CO_TRY(const json::object body, parse_body(text));
  LAB_CO_CHECK((this->*change)(body));
  apply();
  log::info("{} {}", exchange.request().path, text.empty() ? "{}" : json::serialize(body));
  if (hooks_.changed) hooks_.changed(state_);
  http::Response response = http::json_response(200, net());
  co_return co_await exchange.respond(std::move(response));
}

asio::awaitable<Result<void>> Control::post_shutdown(http::Exchange& exchange) {
  log::info("asked to shut down");
  http::Response response = http::json_response(200, json::object{});
  auto responded = co_await exchange.respond(std::move(response));
  hooks_.shutdown();
  co_return responded;
}

Result<void> Control::set(const json::object& body) {
  LAB_TRY(const auto rules, parse_links(body, RuleProperties::some));
  if (rules.empty()) return make_error(Code::invalid_argument, "links is missing or empty");
  return state_.set(rules);
}

Result<void> Control::reset(const json::object& body) {
  LAB_TRY(const auto rules, parse_links(body, RuleProperties::none));
  return state_.reset(rules);
}

Result<void> Control::partition(const json::object& body) {
  JsonFields fields(body, "");
  LAB_TRY(const auto* value, fields.require("groups"));
  LAB_CHECK(fields.no_others());
  LAB_TRY(auto groups, NetState::parse_groups(*value));
  return state_.partition(std::move(groups));
}

Result<void> Control::heal(const json::object&) {
  state_.heal();
  return {};
}

Result<void> Control::pause(const json::object&) {
  switch_.pause();
  return {};
}

Result<void> Control::resume(const json::object& body) {
  JsonFields fields(body, "");
  const auto* discard = fields.find("discard");
  if (discard != nullptr && !discard->is_bool())
    return JsonFields::mismatch("discard", *discard, "true or false");
  LAB_CHECK(fields.no_others());
  switch_.resume(discard != nullptr && discard->as_bool());
  return {};
}

Result<void> Control::reload(const json::object&) {
  LAB_TRY(auto config, hooks_.read_config());
  if (hooks_.reconfigure) LAB_CHECK(hooks_.reconfigure(config));
  return configure(std::move(config));
}

json::object Control::status() const {
  json::array ports;
  const auto reports = switch_.ports();
  for (std::size_t i = 0; i < config_.ports.size() && i < reports.size(); ++i) {
    const MachinePort& port = config_.ports[i];
    ports.push_back(json::object{{"machine", port.machine},
                                 {"mac", port.mac},
                                 {"address", port.address},
                                 {"switch_port", port.switch_port},
                                 {"nic_port", port.nic_port},
                                 {"frames", reports[i].counters.frames},
                                 {"bytes", reports[i].counters.bytes},
                                 {"malformed", reports[i].counters.malformed}});
  }
  json::value mirror;
  if (config_.mirror && mirror_port_ != 0) {
    mirror = json::object{{"address", config_.mirror->address},
                          {"port", mirror_port_},
                          {"catalogue", config_.mirror->catalogue}};
  }
  const auto uptime = std::chrono::duration<double>(clock_.now() - started_);
  return {{"lab", config_.lab},
          {"version", LAB_VERSION},
          {"pid", getpid()},
          {"started", format_rfc3339(started_wall_)},
          {"uptime_seconds", uptime.count()},
          {"subnet", config_.subnet},
          {"mirror", std::move(mirror)},
          {"ports", std::move(ports)}};
}

json::object Control::net() const {
  json::array links;
  for (const Switch::LinkReport& report : switch_.links()) {
    const LinkSetting setting = state_.link(report.from, report.to);
    const LinkQuality& configured = state_.default_quality(report.from, report.to);
    links.push_back(json::object{{"from", report.from},
                                 {"to", report.to},
                                 {"reachable", setting.reachable},
                                 {"quality", to_json(setting.quality)},
                                 {"labfile", to_json(configured)},
                                 {"counters", counters_json(report)}});
  }
  json::array partition;
  for (const auto& group : state_.groups()) {
    partition.push_back(json::array(group.begin(), group.end()));
  }
  const auto& machines = state_.machines();
  return {{"machines", json::array(machines.begin(), machines.end())},
          {"partition", std::move(partition)},
          {"links", std::move(links)}};
}

}  // namespace lab::netsim
