#include "engine/registry/hosts.hpp"

#include <algorithm>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/ip/network_v4.hpp>
#include <boost/asio/ip/network_v6.hpp>
#include <charconv>
#include <filesystem>

#include "base/file.hpp"
#include "engine/image/reference.hpp"

namespace lab::engine::registry {

namespace fs = std::filesystem;
namespace ip = boost::asio::ip;

namespace {

constexpr std::string_view hub_host = "registry-1.docker.io";
constexpr std::size_t certificate_bytes_max = std::size_t{1} << 20;

std::uint16_t default_port(std::string_view scheme) { return scheme == "https" ? 443 : 80; }

// "host", "host:port", "[v6]:port".
Result<void> parse_authority(std::string_view authority, Url& url) {
  std::string_view port;
  if (authority.starts_with('[')) {
    const std::size_t end = authority.find(']');
    if (end == std::string_view::npos) {
      return make_error(Code::invalid_argument, "\"{}\" is not a host", authority);
    }
    url.host = authority.substr(1, end - 1);
    if (authority.substr(end + 1).starts_with(':')) port = authority.substr(end + 2);
  } else {
    const std::size_t colon = authority.rfind(':');
    url.host = authority.substr(0, colon);
    if (colon != std::string_view::npos) port = authority.substr(colon + 1);
  }
  url.port = default_port(url.scheme);
  if (!port.empty()) {
    const auto [end, failure] = std::from_chars(port.data(), port.data() + port.size(), url.port);
    if (failure != std::errc() || end != port.data() + port.size()) {
      return make_error(Code::invalid_argument, "\"{}\" is not a port", port);
    }
  }
  if (url.host.empty()) return Error{Code::invalid_argument, "a URL has no host"};
  return {};
}

bool network_holds(std::string_view network_text, const ip::address& address) {
  boost::system::error_code failure;
  if (address.is_v4()) {
    const auto network = ip::make_network_v4(network_text, failure).canonical();
    if (failure) return false;
    const auto masked = ip::network_v4(address.to_v4(), network.prefix_length()).canonical();
    return masked == network;
  }
  const auto network = ip::make_network_v6(std::string(network_text), failure).canonical();
  if (failure) return false;
  return ip::network_v6(address.to_v6(), network.prefix_length()).canonical() == network;
}

std::vector<fs::path> files_with_suffix(const fs::path& folder, std::string_view suffix) {
  std::vector<fs::path> files;
  std::error_code failure;
  for (const auto& entry : fs::directory_iterator(folder, failure)) {
    if (entry.path().extension() == suffix) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

Result<void> read_certificates(const fs::path& folder, tls::Options& options) {
  for (const fs::path& path : files_with_suffix(folder, ".crt")) {
    LAB_TRY(std::string pem, read_file(path, certificate_bytes_max));
    options.authorities_pem.push_back(std::move(pem));
  }
  for (const fs::path& path : files_with_suffix(folder, ".cert")) {
    fs::path key = path;
    key.replace_extension(".key");
    if (!fs::exists(key)) {
      return make_error(Code::invalid_argument, "missing key {} for client certificate {}",
                        key.filename().string(), path.filename().string());
    }
    LAB_TRY(options.certificate_pem, read_file(path, certificate_bytes_max));
    LAB_TRY(options.private_key_pem, read_file(key, certificate_bytes_max));
  }
  return {};
}

}  // namespace

std::string Url::origin() const {
  const std::string shown = host.find(':') == std::string::npos ? host : "[" + host + "]";
  if (port == default_port(scheme)) return scheme + "://" + shown;
  return fmt::format("{}://{}:{}", scheme, shown, port);
}

Result<Url> parse_url(std::string_view text) {
  Url url;
  const std::size_t colon = text.find("://");
  url.scheme = text.substr(0, colon);
  if (colon == std::string_view::npos || (url.scheme != "http" && url.scheme != "https")) {
    return make_error(Code::invalid_argument, "\"{}\" is not an http or https URL", text);
  }
  std::string_view rest = text.substr(colon + 3);
  const std::size_t end = rest.find_first_of("/?#");
  std::string_view authority = rest.substr(0, end);
  rest.remove_prefix(end == std::string_view::npos ? rest.size() : end);
  if (const std::size_t at = authority.rfind('@'); at != std::string_view::npos) {
    authority.remove_prefix(at + 1);
  }
  LAB_CHECK(parse_authority(authority, url));
  rest = rest.substr(0, rest.find('#'));
  url.target = rest.starts_with('/') ? std::string(rest) : "/" + std::string(rest);
  return url;
}

Result<Url> resolve_location(const Url& base, std::string_view location) {
  if (location.find("://") != std::string_view::npos) return parse_url(location);
  if (location.starts_with("//")) return parse_url(base.scheme + ":" + std::string(location));
  Url url = base;
  const std::string_view target = location.substr(0, location.find('#'));
  if (target.starts_with('/')) {
    url.target = target;
    return url;
  }
  // Relative to the folder of the page that leads there.
  const std::string_view page = std::string_view(base.target).substr(0, base.target.find('?'));
  const std::size_t query = std::min(target.find('?'), target.size());
  const std::string path =
      fmt::format("{}{}", page.substr(0, page.rfind('/') + 1), target.substr(0, query));
  url.target = std::filesystem::path(path).lexically_normal().string();
  url.target += target.substr(query);
  return url;
}

bool is_insecure(std::string_view host_and_port, const Options& options) {
  Url url;
  url.scheme = "https";
  if (parse_authority(host_and_port, url).has_error()) return false;
  boost::system::error_code not_an_address;
  const ip::address address = ip::make_address(url.host, not_an_address);
  if (url.host == "localhost") return true;
  if (!not_an_address && address.is_loopback()) return true;
  return std::any_of(options.insecure_registries.begin(), options.insecure_registries.end(),
                     [&](const std::string& entry) {
                       if (entry == host_and_port || entry == url.host) return true;
                       return !not_an_address && entry.find('/') != std::string::npos &&
                              network_holds(entry, address);
                     });
}

Result<std::vector<Host>> hosts_for(std::string_view domain, const Options& options,
                                    bool with_mirrors) {
  std::vector<Host> hosts;
  if (domain == image::default_domain) {
    for (const std::string& mirror : options.mirrors) {
      if (!with_mirrors) break;
      Host host;
      LAB_TRY(host.url, parse_url(mirror));
      while (host.url.target.size() > 1 && host.url.target.ends_with('/')) {
        host.url.target.pop_back();
      }
      host.mirror = true;
      const std::string name = fmt::format("{}:{}", host.url.host, host.url.port);
      host.verify = !is_insecure(name, options);
      hosts.push_back(std::move(host));
    }
    domain = hub_host;
  }
  Host host;
  host.url.scheme = "https";
  host.url.target = "/";
  LAB_CHECK(parse_authority(domain, host.url));
  const bool insecure = is_insecure(domain, options);
  host.verify = !insecure;
  host.http_fallback = insecure;
  hosts.push_back(host);
  if (insecure) {
    Host plain = host;
    plain.url.scheme = "http";
    LAB_CHECK(parse_authority(domain, plain.url));
    plain.http_fallback = false;
    hosts.push_back(std::move(plain));
  }
  return hosts;
}

Result<http::Endpoint> endpoint_for(const Url& url, bool verify, const Options& options) {
  http::Endpoint endpoint;
  endpoint.host = url.host;
  endpoint.port = url.port;
  if (url.scheme == "http") return endpoint;
  tls::Options tls_options;
  tls_options.system_authorities = true;
  tls_options.insecure = !verify;
  const std::string shown =
      url.host.find(':') == std::string::npos ? url.host : "[" + url.host + "]";
  std::vector<std::string> names{fmt::format("{}:{}", shown, url.port)};
  if (url.port == default_port(url.scheme)) names.push_back(shown);
  if (url.host == hub_host) names.emplace_back(image::default_domain);
  for (const std::string& name : names) {
    LAB_CHECK(read_certificates(options.certificates_directory / name, tls_options));
  }
  LAB_TRY(endpoint.tls, tls::Context::client(tls_options));
  return endpoint;
}

}  // namespace lab::engine::registry
