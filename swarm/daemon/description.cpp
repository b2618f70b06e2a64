#include "swarm/daemon/description.hpp"

#include <sys/utsname.h>
#include <unistd.h>

#include <boost/asio/this_coro.hpp>
#include <boost/json.hpp>

#include "base/http_client.hpp"

namespace lab::swarm::daemon {

namespace json = boost::json;

namespace {

std::string text_at(const json::object& object, std::string_view key) {
  const json::value* value = object.if_contains(key);
  return value != nullptr && value->is_string() ? std::string(value->as_string()) : std::string();
}

std::int64_t number_at(const json::object& object, std::string_view key) {
  const json::value* value = object.if_contains(key);
  if (value == nullptr || !value->is_number()) return 0;
  boost::system::error_code error;
  auto number = value->to_number<std::int64_t>(error);
  return error ? 0 : number;
}

void add_plugins(proto::NodeDescription& description, const json::object& plugins, const char* key,
                 const char* type) {
  const json::value* names = plugins.if_contains(key);
  if (names == nullptr || !names->is_array()) return;
  for (const json::value& name : names->as_array()) {
    if (!name.is_string()) continue;
    proto::Plugin& plugin = *description.add_plugins();
    plugin.set_type(type);
    plugin.set_name(std::string(name.as_string()));
  }
}

}  // namespace

proto::NodeDescription describe_machine() {
  proto::NodeDescription description;
  utsname names{};
  uname(&names);
  description.set_hostname(names.nodename);
  description.set_os("linux");
  description.set_architecture(names.machine);
  description.set_nano_cpus(sysconf(_SC_NPROCESSORS_ONLN) * 1'000'000'000L);
  description.set_memory_bytes(sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE));
  return description;
}

Result<proto::NodeDescription> add_engine_info(proto::NodeDescription base,
                                               const std::string& info_json) {
  boost::system::error_code error;
  json::value parsed = json::parse(info_json, error);
  if (error || !parsed.is_object())
    return make_error(Code::internal, "the engine's /info is not a JSON object");
  const json::object& info = parsed.as_object();
  base.set_engine_version(text_at(info, "ServerVersion"));
  if (std::string name = text_at(info, "Name"); !name.empty()) base.set_hostname(name);
  if (std::int64_t bytes = number_at(info, "MemTotal"); bytes > 0) base.set_memory_bytes(bytes);
  if (std::int64_t cpus = number_at(info, "NCPU"); cpus > 0)
    base.set_nano_cpus(cpus * 1'000'000'000);
  if (const json::value* labels = info.if_contains("Labels"); labels && labels->is_array()) {
    for (const json::value& label : labels->as_array()) {
      if (!label.is_string()) continue;
      std::string text(label.as_string());
      std::size_t equals = text.find('=');
      (*base.mutable_engine_labels())[text.substr(0, equals)] =
          equals == std::string::npos ? std::string() : text.substr(equals + 1);
    }
  }
  if (const json::value* plugins = info.if_contains("Plugins"); plugins && plugins->is_object()) {
    add_plugins(base, plugins->as_object(), "Log", "Log");
    add_plugins(base, plugins->as_object(), "Network", "Network");
    add_plugins(base, plugins->as_object(), "Volume", "Volume");
  }
  return base;
}

boost::asio::awaitable<Result<proto::NodeDescription>> describe_with_engine(
    std::string engine_socket) {
  http::Endpoint endpoint;
  endpoint.unix_path = std::move(engine_socket);
  http::Client client(co_await boost::asio::this_coro::executor, std::move(endpoint));
  http::ClientRequest request;
  request.target = "/info";
  Result<http::Response> response = co_await client.fetch(std::move(request));
  if (!response) co_return response.error();
  if (response->status != 200)
    co_return make_error(Code::unavailable, "the engine answers /info with {}", response->status);
  co_return add_engine_info(describe_machine(), response->body);
}

}  // namespace lab::swarm::daemon
