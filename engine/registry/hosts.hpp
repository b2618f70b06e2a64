// Where the images of a registry's name are fetched from: its mirrors and itself, over TLS or not,
// and which certificates count there.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "base/http_client.hpp"
#include "engine/registry/options.hpp"

namespace lab::engine::registry {

struct Url {
  std::string scheme;  // "http", "https"
  std::string host;    // without brackets
  std::uint16_t port = 0;
  std::string target;  // path and query, from "/"; never empty

  // "https://host" or "https://host:port".
  [[nodiscard]] std::string origin() const;
};
// Absolute http and https URLs. Code::invalid_argument otherwise.
[[nodiscard]] Result<Url> parse_url(std::string_view text);
// `location` of an answer: absolute, or relative to the origin of `base`.
[[nodiscard]] Result<Url> resolve_location(const Url& base, std::string_view location);

// One place to try.
struct Host {
  Url url;                     // its target is "/" or a mirror's path prefix
  bool verify = true;          // of its certificate
  bool mirror = false;         // failures here lead to the next host
  bool http_fallback = false;  // the same host is tried without TLS next
};

// For pulls: mirrors first (docker.io only), then the registry; for pushes the registry alone.
[[nodiscard]] Result<std::vector<Host>> hosts_for(std::string_view domain, const Options& options,
                                                  bool with_mirrors);

// Whether the registry may be spoken to without TLS: named so, in a network named so, or loopback.
[[nodiscard]] bool is_insecure(std::string_view host_and_port, const Options& options);

// The endpoint of a URL, with the certificates of CERTIFICATES_DIRECTORY/HOST:PORT: *.crt are
// authorities beside the system's, NAME.cert with NAME.key are ours.
[[nodiscard]] Result<http::Endpoint> endpoint_for(const Url& url, bool verify,
                                                  const Options& options);

}  // namespace lab::engine::registry
