// The files of a container that come from its network: /etc/hostname, /etc/hosts, /etc/resolv.conf.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/error.hpp"

namespace lab::engine::container {

struct NameFiles {
  std::string hostname;
  std::string domain_name;
  std::vector<std::string> addresses;    // the container's own
  std::vector<std::string> extra_hosts;  // "name:address"; "host-gateway" as address is known
  std::string host_gateway;
  std::vector<std::string> dns;
  std::vector<std::string> dns_search;
  std::vector<std::string> dns_options;
  bool host_network = false;
};

// In `folder`: hostname, hosts, resolv.conf.
[[nodiscard]] Result<void> write_name_files(const std::filesystem::path& folder,
                                            const NameFiles& files);

[[nodiscard]] std::string hosts_text(const NameFiles& files);
// `host` is the host's file. Name servers on loopback are left out, for they are not the
// container's; with none left, Google's public ones are used, as Docker does.
[[nodiscard]] std::string resolv_conf_text(const NameFiles& files, const std::string& host);

}  // namespace lab::engine::container
