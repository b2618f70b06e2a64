#include "provision/labfile/address.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <charconv>

namespace lab::provision {

std::optional<std::uint32_t> parse_ipv4(std::string_view text) {
  in_addr address{};
  if (inet_pton(AF_INET, std::string(text).c_str(), &address) != 1) return std::nullopt;
  return ntohl(address.s_addr);
}

std::string format_ipv4(std::uint32_t address) {
  return fmt::format("{}.{}.{}.{}", address >> 24, (address >> 16) & 255, (address >> 8) & 255,
                     address & 255);
}

std::optional<Subnet> parse_subnet(std::string_view text) {
  std::size_t slash = text.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  std::optional<std::uint32_t> network = parse_ipv4(text.substr(0, slash));
  Subnet subnet;
  std::string_view prefix = text.substr(slash + 1);
  auto [end, error] = std::from_chars(prefix.data(), prefix.data() + prefix.size(), subnet.prefix);
  if (!network || error != std::errc{} || end != prefix.data() + prefix.size() ||
      subnet.prefix > 32) {
    return std::nullopt;
  }
  subnet.network = *network;
  if ((subnet.network & subnet.mask()) != subnet.network) return std::nullopt;
  return subnet;
}

}  // namespace lab::provision
