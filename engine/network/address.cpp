#include "engine/network/address.hpp"

#include <algorithm>
#include <charconv>

namespace lab::engine::network {

namespace ip = boost::asio::ip;

namespace {

int bits_of(const IpAddress& address) { return address.is_v4() ? 32 : 128; }

// The address with all bits behind the prefix cleared or set.
IpAddress with_host_bits(const IpAddress& address, int prefix, bool set) {
  auto mask = [prefix, set](auto bytes) {
    for (std::size_t i = 0; i < bytes.size(); ++i) {
      int kept = std::clamp(prefix - static_cast<int>(i) * 8, 0, 8);
      auto host = static_cast<std::uint8_t>(0xff >> kept);
      bytes[i] = static_cast<std::uint8_t>(set ? bytes[i] | host : bytes[i] & ~host);
    }
    return bytes;
  };
  if (address.is_v4()) return ip::address_v4(mask(address.to_v4().to_bytes()));
  return ip::address_v6(mask(address.to_v6().to_bytes()));
}

template <typename Bytes>
Bytes plus(Bytes bytes, std::uint64_t offset) {
  for (std::size_t i = bytes.size(); i-- > 0 && offset != 0;) {
    offset += bytes[i];
    bytes[i] = static_cast<std::uint8_t>(offset);
    offset >>= 8;
  }
  return bytes;
}

DefaultPool pool(std::string_view base, int prefix) {
  return DefaultPool{Subnet::parse(base).value(), prefix};
}

}  // namespace

std::optional<IpAddress> parse_address(std::string_view text) {
  boost::system::error_code failure;
  IpAddress address = ip::make_address(std::string(text), failure);
  if (failure || (address.is_v6() && address.to_v6().scope_id() != 0)) return std::nullopt;
  if (address.is_v6() && address.to_v6().is_v4_mapped())
    return ip::make_address_v4(ip::v4_mapped, address.to_v6());
  return address;
}

std::string format_mac(const MacAddress& mac) { return fmt::format("{:02x}", fmt::join(mac, ":")); }

Result<MacAddress> parse_mac(std::string_view text) {
  MacAddress mac{};
  bool valid = text.size() == mac.size() * 3 - 1;
  for (std::size_t i = 0; valid && i < mac.size(); ++i) {
    const char* at = text.data() + i * 3;
    auto [end, failure] = std::from_chars(at, at + 2, mac[i], 16);
    valid = failure == std::errc() && end == at + 2 &&
            (i + 1 == mac.size() || *end == ':' || *end == '-');
  }
  if (!valid) return make_error(Code::internal, "address {}: invalid MAC address", text);
  return mac;
}

MacAddress mac_for(const IpAddress& address) {
  MacAddress mac{0x02, 0x42};
  auto bytes = address.to_v4().to_bytes();
  std::copy(bytes.begin(), bytes.end(), mac.begin() + 2);
  return mac;
}

Result<Subnet> Subnet::parse(std::string_view text) {
  std::size_t slash = text.find('/');
  std::optional<IpAddress> address = parse_address(text.substr(0, slash));
  int prefix = -1;
  const char* end = text.data() + text.size();
  bool valid = address && slash != std::string_view::npos;
  if (valid) {
    auto [at, failure] = std::from_chars(text.data() + slash + 1, end, prefix);
    valid = failure == std::errc() && at == end && prefix >= 0 && prefix <= bits_of(*address);
  }
  if (!valid) return make_error(Code::internal, "invalid CIDR address: {}", text);
  return Subnet{with_host_bits(*address, prefix, false), prefix};
}

bool Subnet::contains(const IpAddress& address) const {
  return address.is_v4() == base.is_v4() && with_host_bits(address, prefix, false) == base;
}

bool Subnet::overlaps(const Subnet& other) const {
  return contains(other.base) || other.contains(base);
}

IpAddress Subnet::at(std::uint64_t offset) const {
  if (base.is_v4()) return ip::address_v4(plus(base.to_v4().to_bytes(), offset));
  return ip::address_v6(plus(base.to_v6().to_bytes(), offset));
}

std::uint64_t Subnet::size() const {
  return std::uint64_t{1} << std::min(bits_of(base) - prefix, 63);
}

std::string Subnet::text() const { return fmt::format("{}/{}", base.to_string(), prefix); }

bool AddressPool::is_reserved(const IpAddress& address) const {
  if (address == subnet_.base) return true;
  return address.is_v4() && address == with_host_bits(subnet_.base, subnet_.prefix, true);
}

Result<IpAddress> AddressPool::take_any() {
  for (std::uint64_t offset = 0; offset < range_.size(); ++offset) {
    IpAddress address = range_.at(offset);
    if (is_reserved(address) || used_.contains(address)) continue;
    used_.insert(address);
    return address;
  }
  return make_error(Code::unavailable, "No available addresses on this pool");
}

Result<void> AddressPool::take(const IpAddress& address) {
  if (!subnet_.contains(address) || is_reserved(address))
    return make_error(Code::internal, "Requested address is out of range");
  if (!used_.insert(address).second) return make_error(Code::forbidden, "Address already in use");
  return {};
}

const std::vector<DefaultPool>& docker_default_pools() {
  static const std::vector<DefaultPool> pools{pool("172.17.0.0/16", 16), pool("172.18.0.0/16", 16),
                                              pool("172.19.0.0/16", 16), pool("172.20.0.0/14", 16),
                                              pool("172.24.0.0/14", 16), pool("172.28.0.0/14", 16),
                                              pool("192.168.0.0/16", 20)};
  return pools;
}

std::optional<Subnet> free_subnet(const std::vector<DefaultPool>& pools,
                                  const std::vector<Subnet>& taken) {
  for (const DefaultPool& pool : pools) {
    std::uint64_t step = std::uint64_t{1} << (bits_of(pool.base.base) - pool.prefix);
    for (std::uint64_t offset = 0; offset < pool.base.size(); offset += step) {
      Subnet subnet{pool.base.at(offset), pool.prefix};
      bool free = std::none_of(taken.begin(), taken.end(),
                               [&subnet](const Subnet& other) { return subnet.overlaps(other); });
      if (free) return subnet;
    }
  }
  return std::nullopt;
}

}  // namespace lab::engine::network
