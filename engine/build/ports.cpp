#include "engine/build/ports.hpp"

#include <charconv>
#include <optional>

namespace lab::engine::build {

namespace {

std::optional<unsigned> port_number(std::string_view text) {
  unsigned port = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (failure != std::errc() || end != text.data() + text.size() || port > 65535) return {};
  return port;
}

}  // namespace

Result<std::vector<std::string>> exposed_ports(std::string_view specification) {
  std::string_view ports = specification;
  std::string protocol = "tcp";
  if (const std::size_t slash = ports.find('/'); slash != std::string_view::npos) {
    protocol = ports.substr(slash + 1);
    ports = ports.substr(0, slash);
  }
  if (const std::size_t colon = ports.rfind(':'); colon != std::string_view::npos)
    ports.remove_prefix(colon + 1);
  std::transform(protocol.begin(), protocol.end(), protocol.begin(), ::tolower);
  if (ports.empty()) {
    return make_error(Code::invalid_argument, "No port specified: {}<empty>", specification);
  }
  const std::size_t dash = ports.find('-');
  const std::optional<unsigned> first = port_number(ports.substr(0, dash));
  const std::optional<unsigned> last =
      dash == std::string_view::npos ? first : port_number(ports.substr(dash + 1));
  if (!first || !last || *last < *first)
    return make_error(Code::invalid_argument, "Invalid containerPort: {}", ports);
  if (protocol != "tcp" && protocol != "udp" && protocol != "sctp")
    return make_error(Code::invalid_argument, "Invalid proto: {}", protocol);
  std::vector<std::string> exposed;
  for (unsigned port = *first; port <= *last; ++port)
    exposed.push_back(fmt::format("{}/{}", port, protocol));
  return exposed;
}

}  // namespace lab::engine::build
