#include "provision/forward/forward_control.hpp"

#include <fmt/ranges.h>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include "base/file.hpp"
#include "base/log.hpp"
#include "netsim/json_fields.hpp"

namespace lab::provision {

namespace asio = boost::asio;
namespace json = boost::json;
using netsim::JsonFields;

namespace {

constexpr std::size_t body_bytes_max = 64 * 1024;

Result<json::object> parse_object(std::string_view text) {
  boost::system::error_code failure;
  json::value value = json::parse(text, failure);
  if (failure || !value.is_object())
    return make_error(Code::invalid_argument, "the body is not a JSON object");
  return std::move(value.get_object());
}

Result<Forward> parse_forward(const json::object& object, const std::string& where) {
  JsonFields fields(object, where);
  Forward forward;
  LAB_TRY(forward.host_port, fields.port("host"));
  LAB_TRY(forward.machine, fields.string("machine"));
  LAB_TRY(forward.port, fields.port("port"));
  LAB_CHECK(fields.no_others());
  return forward;
}

json::object to_json(const Forward& forward) {
  return {{"host", forward.host_port}, {"machine", forward.machine}, {"port", forward.port}};
}

bool has_port(const std::vector<Forward>& forwards, std::uint16_t host_port) {
  return std::any_of(forwards.begin(), forwards.end(),
                     [&](const Forward& forward) { return forward.host_port == host_port; });
}

bool leads_to(const std::vector<Forward>& forwards, const Forward& end) {
  return std::any_of(forwards.begin(), forwards.end(), [&](const Forward& forward) {
    return forward.machine == end.machine && forward.port == end.port;
  });
}

}  // namespace

ForwardControl::ForwardControl(Forwarder& forwarder, std::filesystem::path kept, Unused unused)
    : forwarder_(forwarder), kept_(std::move(kept)), unused_(std::move(unused)) {}

Result<void> ForwardControl::configure(const netsim::DaemonConfig& config) {
  std::vector<Forward> labfile;
  for (const netsim::PortForward& forward : config.forwards)
    labfile.push_back({forward.host, forward.machine, forward.port});
  std::vector<std::string> machines;
  for (const netsim::MachinePort& port : config.ports) machines.push_back(port.machine);
  std::vector<Forward> live = live_;
  if (!configured_) {
    auto kept = read_kept();
    if (kept) live = std::move(*kept);
    if (!kept) log::warning("{}: {}; it is ignored", kept_.string(), kept.error().message);
  }
  std::erase_if(live, [&](const Forward& forward) {
    return has_port(labfile, forward.host_port) ||
           std::find(machines.begin(), machines.end(), forward.machine) == machines.end();
  });
  LAB_CHECK(apply(std::move(labfile), std::move(live)));
  machines_ = std::move(machines);
  configured_ = true;
  return {};
}

Result<void> ForwardControl::apply(std::vector<Forward> labfile, std::vector<Forward> live) {
  std::vector<Forward> all = labfile;
  all.insert(all.end(), live.begin(), live.end());
  LAB_CHECK(forwarder_.set(all));
  std::vector<Forward> before = std::exchange(labfile_, std::move(labfile));
  before.insert(before.end(), live_.begin(), live_.end());
  live_ = std::move(live);
  keep();
  for (const Forward& forward : before)
    if (!leads_to(all, forward)) unused_(forward);
  return {};
}

Result<std::vector<Forward>> ForwardControl::read_kept() const {
  std::error_code ignored;
  if (!std::filesystem::exists(kept_, ignored)) return std::vector<Forward>();
  LAB_TRY(const std::string text, read_file(kept_));
  LAB_TRY(const json::object object, parse_object(text));
  JsonFields fields(object, "");
  LAB_TRY(const auto* list, fields.array("forwards"));
  std::vector<Forward> forwards;
  for (std::size_t i = 0; list != nullptr && i < list->size(); ++i) {
    const std::string where = fmt::format("forwards[{}]", i);
    const auto* entry = (*list)[i].if_object();
    if (entry == nullptr) return JsonFields::mismatch(where, (*list)[i], "an object");
    LAB_TRY(auto forward, parse_forward(*entry, where));
    forwards.push_back(std::move(forward));
  }
  return forwards;
}

void ForwardControl::keep() const {
  if (live_.empty()) return forget();
  json::array list;
  for (const Forward& forward : live_) list.push_back(to_json(forward));
  const auto kept =
      write_file(kept_, json::serialize(json::object{{"forwards", std::move(list)}}), 0600);
  if (!kept) log::warning("{}: {}", kept_.string(), kept.error().message);
}

void ForwardControl::forget() const {
  std::error_code ignored;
  std::filesystem::remove(kept_, ignored);
}

void ForwardControl::add_routes(http::Router& router) {
  router.add("GET", "/forwards", [this](http::Exchange& exchange) { return get(exchange); });
  const auto add_change = [&](const char* path, Change change) {
    router.add("POST", path,
               [this, change](http::Exchange& exchange) { return post(exchange, change); });
  };
  add_change("/forwards/add", &ForwardControl::add);
  add_change("/forwards/remove", &ForwardControl::remove);
}

asio::awaitable<Result<void>> ForwardControl::get(http::Exchange& exchange) {
  http::Response response = http::json_response(200, forwards());
  co_return co_await exchange.respond(std::move(response));
}

asio::awaitable<Result<void>> ForwardControl::post(http::Exchange& exchange, Change change) {
  LAB_CO_TRY(const std::string text, co_await exchange.read_all(body_bytes_max));
  LAB_CO_TRY(const json::object body, parse_object(text));
  LAB_CO_CHECK((this->*change)(body));
  log::info("{} {}", exchange.request().path, json::serialize(body));
  co_return co_await get(exchange);
}

Result<void> ForwardControl::add(const json::object& body) {
  LAB_TRY(auto forward, parse_forward(body, ""));
  if (std::find(machines_.begin(), machines_.end(), forward.machine) == machines_.end()) {
    return make_error(Code::not_found, "there is no machine \"{}\" in this lab; there are: {}",
                      forward.machine, fmt::join(machines_, ", "));
  }
  for (const auto& report : forwarder_.report()) {
    const Forward& other = report.forward;
    if (other == forward) return {};
    if (other.host_port == forward.host_port) {
      return make_error(Code::conflict, "port {} leads to {}:{} already; `lab forward rm {}` first",
                        other.host_port, other.machine, other.port, other.host_port);
    }
  }
  std::vector<Forward> live = live_;
  live.push_back(std::move(forward));
  return apply(labfile_, std::move(live));
}

Result<void> ForwardControl::remove(const json::object& body) {
  JsonFields fields(body, "");
  LAB_TRY(const std::uint16_t host_port, fields.port("host"));
  LAB_CHECK(fields.no_others());
  if (has_port(labfile_, host_port)) {
    return make_error(Code::conflict,
                      "the forward of port {} is in the labfile: take it out there and `lab up`",
                      host_port);
  }
  if (!has_port(live_, host_port))
    return make_error(Code::not_found, "port {} of this host is not forwarded", host_port);
  std::vector<Forward> live = live_;
  std::erase_if(live, [&](const Forward& forward) { return forward.host_port == host_port; });
  return apply(labfile_, std::move(live));
}

json::object ForwardControl::forwards() const {
  json::array list;
  for (const ForwardReport& report : forwarder_.report()) {
    json::object entry = to_json(report.forward);
    entry["labfile"] = has_port(labfile_, report.forward.host_port);
    entry["open"] = report.open;
    entry["connections"] = report.connections;
    entry["bytes_in"] = report.bytes_in;
    entry["bytes_out"] = report.bytes_out;
    entry["problem"] = report.problem;
    list.push_back(std::move(entry));
  }
  return {{"forwards", std::move(list)}};
}

}  // namespace lab::provision
