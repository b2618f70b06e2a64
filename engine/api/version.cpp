#include "engine/api/version.hpp"

#include <charconv>

namespace lab::engine::api {

std::optional<Version> parse_version(std::string_view text) {
  Version version;
  const char* end = text.data() + text.size();
  auto [at, failure] = std::from_chars(text.data(), end, version.major_number);
  if (failure != std::errc() || at == end || *at != '.') return {};
  auto [last, second_failure] = std::from_chars(at + 1, end, version.minor_number);
  if (second_failure != std::errc() || last != end) return {};
  return version;
}

bool older_than(const http::Exchange& exchange, Version version) {
  const std::optional<Version> spoken = parse_version(exchange.parameter("version"));
  return spoken && *spoken < version;
}

}  // namespace lab::engine::api
