#include "netsim/daemon_config.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <boost/json/parse.hpp>
#include <map>
#include <utility>

#include "base/file.hpp"
#include "netsim/json_fields.hpp"
#include "netsim/quality.hpp"

namespace lab::netsim {

namespace {

bool is_mac(std::string_view text) {
  if (text.size() != 17) return false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const bool digit = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
    if (i % 3 == 2 ? c != ':' : !digit) return false;
  }
  return true;
}

bool is_address(const std::string& text) {
  in_addr address{};
  return inet_pton(AF_INET, text.c_str(), &address) == 1;
}

Error not_a(const JsonFields& fields, std::string_view key, std::string_view wanted) {
  return JsonFields::mismatch(fields.path(key), fields.object().at(key), wanted);
}

Result<MachinePort> parse_port(const boost::json::value& value, const std::string& where) {
  LAB_TRY(JsonFields fields, JsonFields::of(value, where));
  MachinePort port;
  LAB_TRY(port.machine, fields.string("machine"));
  LAB_TRY(port.mac, fields.string("mac"));
  if (!is_mac(port.mac)) {
    return not_a(fields, "mac", "an address like 52:54:00:12:34:56");
  }
  LAB_TRY(port.address, fields.string("address"));
  if (!is_address(port.address)) {
    return not_a(fields, "address", "an IPv4 address");
  }
  LAB_TRY(port.switch_port, fields.port("switch_port"));
  LAB_TRY(port.nic_port, fields.port("nic_port"));
  LAB_CHECK(fields.no_others());
  return port;
}

Result<PortForward> parse_forward(const boost::json::value& value, const std::string& where) {
  LAB_TRY(JsonFields fields, JsonFields::of(value, where));
  PortForward forward;
  LAB_TRY(forward.host, fields.port("host"));
  LAB_TRY(forward.machine, fields.string("machine"));
  LAB_TRY(forward.port, fields.port("port"));
  LAB_CHECK(fields.no_others());
  return forward;
}

Result<MirrorConfig> parse_mirror(const boost::json::value& value) {
  LAB_TRY(JsonFields fields, JsonFields::of(value, "mirror"));
  MirrorConfig mirror;
  LAB_TRY(mirror.address, fields.string("address"));
  if (!is_address(mirror.address)) {
    return not_a(fields, "address", "an IPv4 address");
  }
  LAB_TRY(mirror.port, fields.port("port", 0));
  LAB_TRY(mirror.catalogue, fields.string("catalogue"));
  LAB_CHECK(fields.no_others());
  return mirror;
}

// Names and port numbers belong to one machine each.
Result<void> check_unique(const std::vector<MachinePort>& ports) {
  std::map<std::string, std::string, std::less<>> machines;
  std::map<std::uint16_t, std::string> numbers;
  for (std::size_t i = 0; i < ports.size(); ++i) {
    const MachinePort& port = ports[i];
    const std::string where = fmt::format("ports[{}]", i);
    const auto [machine, is_new] = machines.emplace(port.machine, where);
    if (!is_new) {
      return make_error(Code::invalid_argument, "{}.machine is \"{}\", as is {}.machine", where,
                        port.machine, machine->second);
    }
    for (const auto& [key, number] :
         {std::pair{"switch_port", port.switch_port}, {"nic_port", port.nic_port}}) {
      const auto [other, fresh] = numbers.emplace(number, fmt::format("{}.{}", where, key));
      if (!fresh) {
        return make_error(Code::invalid_argument, "{}.{} is {}, as is {}", where, key, number,
                          other->second);
      }
    }
  }
  return {};
}

Result<void> check_known(const DaemonConfig& config, const std::string& machine,
                         const std::string& path) {
  const auto named = [&](const MachinePort& port) { return port.machine == machine; };
  if (machine == "*" || std::any_of(config.ports.begin(), config.ports.end(), named)) return {};
  return make_error(Code::invalid_argument, "{} is \"{}\", but no entry of ports has that machine",
                    path, machine);
}

}  // namespace

Result<LinkRule> parse_link_rule(const boost::json::value& value, std::string_view where,
                                 RuleProperties properties) {
  LAB_TRY(JsonFields fields, JsonFields::of(value, std::string(where)));
  LinkRule rule;
  LAB_TRY(rule.from, fields.string("from"));
  LAB_TRY(rule.to, fields.string("to"));
  if (rule.from == rule.to && rule.from != "*") {
    return make_error(Code::invalid_argument, "{}: from and to are both \"{}\"", where, rule.from);
  }
  if (properties == RuleProperties::none) {
    LAB_CHECK(fields.no_others());
    return rule;
  }
  for (const std::string_view key : quality_keys()) {
    if (const auto* word = fields.find(key)) rule.quality[key] = *word;
  }
  LAB_CHECK(fields.no_others());
  if (rule.quality.empty() && properties == RuleProperties::some) {
    return make_error(Code::invalid_argument, "{} sets nothing: it has from and to only", where);
  }
  for (auto& [key, word] : rule.quality) {
    // Each value for itself: what holds between them depends on what they are merged with.
    LinkQuality scratch;
    boost::json::object one{{"delay", "1ms"}};
    one[key] = word;
    if (auto merged = merge_json(scratch, one); !merged) return merged.error().wrap("{}", where);
    if (!word.is_string()) word = boost::json::serialize(word);
  }
  return rule;
}

Result<DaemonConfig> parse_daemon_config(std::string_view text) {
  boost::system::error_code failure;
  const boost::json::value root = boost::json::parse(text, failure);
  if (failure) return make_error(Code::invalid_argument, "not JSON: {}", failure.message());
  LAB_TRY(JsonFields fields, JsonFields::of(root, ""));
  DaemonConfig config;
  LAB_TRY(config.lab, fields.string("lab"));
  if (fields.find("lab_id") != nullptr) {
    LAB_TRY(config.lab_id, fields.string("lab_id"));
    LAB_TRY(config.libvirt_uri, fields.string("libvirt_uri"));
  }
  LAB_TRY(config.control_socket, fields.string("control_socket"));
  LAB_TRY(config.subnet, fields.string("subnet"));
  if (const auto* mirror = fields.find("mirror"); mirror != nullptr && !mirror->is_null()) {
    LAB_TRY(config.mirror, parse_mirror(*mirror));
  }
  LAB_TRY(const auto* ports, fields.array("ports"));
  for (std::size_t i = 0; ports != nullptr && i < ports->size(); ++i) {
    LAB_TRY(auto port, parse_port((*ports)[i], fmt::format("ports[{}]", i)));
    config.ports.push_back(std::move(port));
  }
  LAB_CHECK(check_unique(config.ports));
  LAB_TRY(const auto* links, fields.array("links"));
  for (std::size_t i = 0; links != nullptr && i < links->size(); ++i) {
    const std::string where = fmt::format("links[{}]", i);
    LAB_TRY(auto rule, parse_link_rule((*links)[i], where, RuleProperties::any));
    LAB_CHECK(check_known(config, rule.from, where + ".from"));
    LAB_CHECK(check_known(config, rule.to, where + ".to"));
    config.links.push_back(std::move(rule));
  }
  LAB_TRY(const auto* forwards, fields.array("forwards"));
  for (std::size_t i = 0; forwards != nullptr && i < forwards->size(); ++i) {
    const std::string where = fmt::format("forwards[{}]", i);
    LAB_TRY(auto forward, parse_forward((*forwards)[i], where));
    LAB_CHECK(check_known(config, forward.machine, where + ".machine"));
    config.forwards.push_back(std::move(forward));
  }
  LAB_CHECK(fields.no_others());
  return config;
}

Result<DaemonConfig> read_daemon_config(const std::filesystem::path& path) {
  LAB_TRY(const std::string text, read_file(path));
  auto config = parse_daemon_config(text);
  if (!config) return config.error().wrap("{}", path.string());
  return config;
}

}  // namespace lab::netsim
