// Kernel settings of the network namespace of the calling thread.
#pragma once

#include <string>
#include <string_view>

#include "base/error.hpp"

namespace lab::engine::network {

// "net/ipv4/ip_forward"
[[nodiscard]] Result<void> write_sysctl(const std::string& path, std::string_view value);
// For one that may be missing: a kernel without IPv6.
void try_sysctl(const std::string& path, std::string_view value);

}  // namespace lab::engine::network
