// Containers as the API shows them.
#pragma once

#include <boost/json/object.hpp>
#include <optional>
#include <string>

#include "engine/container/containers.hpp"

namespace lab::engine::container {

struct ContainerSizes {
  std::uint64_t writable_bytes = 0;
  std::uint64_t total_bytes = 0;
};
// Walks the writable layer: blocks.
[[nodiscard]] ContainerSizes measure(const Containers& containers, const Container& container);

// GET /containers/ID/json.
[[nodiscard]] boost::json::object inspect(const Containers& containers, const Container& container,
                                          std::optional<ContainerSizes> sizes);
// One element of GET /containers/json.
[[nodiscard]] boost::json::object summarize(const Containers& containers,
                                            const Container& container,
                                            std::optional<ContainerSizes> sizes);

// "Up 2 hours (Paused)", "Exited (0) 3 minutes ago", "Created".
[[nodiscard]] std::string status_text(const Container& container, WallTime now);
// "About a minute", "3 days": Docker's units.HumanDuration.
[[nodiscard]] std::string human_duration(std::chrono::seconds duration);
// Code::invalid_argument on what is no RFC 3339 time.
[[nodiscard]] Result<WallTime> parse_rfc3339(std::string_view text);

// GET /containers/json's filters, before, since and limit.
struct ListOptions {
  bool all = false;
  std::int64_t limit = 0;
  Filters filters;
};
[[nodiscard]] Result<std::vector<ContainerPtr>> select(const Containers& containers,
                                                       const ListOptions& options);

}  // namespace lab::engine::container
