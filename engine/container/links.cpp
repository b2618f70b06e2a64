#include "engine/container/links.hpp"

#include <algorithm>
#include <cctype>
#include <tuple>

#include "engine/util/json.hpp"

namespace lab::engine::container {

namespace json = boost::json;

namespace {

struct Port {
  int number = 0;
  std::string protocol;
};

// The exposed ports by number, TCP before UDP.
std::vector<Port> exposed_ports(const Container& container) {
  std::vector<Port> ports;
  for (const auto& exposed : object_of(container.config, "ExposedPorts")) {
    const std::string text(exposed.key());
    const std::size_t slash = text.find('/');
    ports.push_back(
        {std::atoi(text.c_str()), slash == std::string::npos ? "tcp" : text.substr(slash + 1)});
  }
  std::sort(ports.begin(), ports.end(), [](const Port& a, const Port& b) {
    return std::tie(a.number, a.protocol) < std::tie(b.number, b.protocol);
  });
  return ports;
}

std::string upper(std::string text) {
  for (char& c : text) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return text;
}

void add_ports(std::vector<std::string>& environment, const std::string& prefix,
               const std::vector<Port>& ports, const std::string& address) {
  if (!ports.empty()) {
    environment.push_back(fmt::format("{}_PORT={}://{}:{}", prefix, ports.front().protocol, address,
                                      ports.front().number));
  }
  for (const Port& port : ports) {
    const std::string name =
        fmt::format("{}_PORT_{}_{}", prefix, port.number, upper(port.protocol));
    environment.push_back(fmt::format("{}={}://{}:{}", name, port.protocol, address, port.number));
    environment.push_back(fmt::format("{}_ADDR={}", name, address));
    environment.push_back(fmt::format("{}_PORT={}", name, port.number));
    environment.push_back(fmt::format("{}_PROTO={}", name, port.protocol));
  }
}

// The other's variables, but for those that every image has.
void add_variables(std::vector<std::string>& environment, const std::string& prefix,
                   const Container& other) {
  for (const std::string& variable : texts_of(other.config, "Env")) {
    const std::size_t equals = variable.find('=');
    const std::string name = variable.substr(0, equals);
    if (equals == std::string::npos || name == "HOME" || name == "PATH") continue;
    environment.push_back(fmt::format("{}_ENV_{}", prefix, variable));
  }
}

}  // namespace

Result<Link> parse_link(const std::string& text) {
  const std::size_t colon = text.find(':');
  Link link{text.substr(0, colon), colon == std::string::npos ? text : text.substr(colon + 1)};
  if (link.target.empty() || link.alias.find(':') != std::string::npos)
    return make_error(Code::internal, "bad format for links: {}", text);
  // As a client that copies what a document shows: "/target:/container/alias".
  if (const std::size_t slash = link.alias.rfind('/'); slash != std::string::npos)
    link.alias.erase(0, slash + 1);
  return link;
}

std::vector<std::string> link_environment(const Containers& containers,
                                          const Container& container) {
  std::vector<std::string> environment;
  if (container.network_mode() != "bridge") return environment;
  for (const std::string& text : texts_of(container.host_config, "Links")) {
    Result<Link> link = parse_link(text);
    if (!link) continue;
    Result<ContainerPtr> other = containers.find(link->target);
    if (!other || !(*other)->sandbox) continue;
    std::string prefix = upper(link->alias);
    std::replace(prefix.begin(), prefix.end(), '-', '_');
    for (const network::Endpoint& endpoint : (*other)->sandbox->endpoints) {
      if (!endpoint.address || endpoint.network_name != "bridge") continue;
      add_ports(environment, prefix, exposed_ports(**other), endpoint.address->to_string());
    }
    environment.push_back(fmt::format("{}_NAME=/{}/{}", prefix, container.name, link->alias));
    add_variables(environment, prefix, **other);
  }
  return environment;
}

json::value shown_links(const Containers& containers, const Container& container) {
  if (container.network_mode() != "bridge") return nullptr;
  json::array shown;
  for (const std::string& text : texts_of(container.host_config, "Links")) {
    Result<Link> link = parse_link(text);
    if (!link) continue;
    Result<ContainerPtr> other = containers.find(link->target);
    shown.emplace_back(fmt::format("/{}:/{}/{}", other ? (*other)->name : link->target,
                                   container.name, link->alias));
  }
  return shown.empty() ? json::value(nullptr) : json::value(std::move(shown));
}

}  // namespace lab::engine::container
