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
  // 127.0.0.11 answers, and asks the others.
  bool name_service = false;
};

// In `folder`: hostname, hosts, resolv.conf.
[[nodiscard]] Result<void> write_name_files(const std::filesystem::path& folder,
                                            const NameFiles& files);

[[nodiscard]] std::string hosts_text(const NameFiles& files);
// Lines for further addresses of a container that runs, and without them again. The file stays the
// same file: the container has it mounted.
[[nodiscard]] Result<void> add_host_lines(const std::filesystem::path& folder,
                                          const std::vector<std::string>& addresses,
                                          const std::string& names);
[[nodiscard]] Result<void> remove_host_lines(const std::filesystem::path& folder,
                                             const std::vector<std::string>& addresses);
// Writes resolv.conf anew, likewise.
[[nodiscard]] Result<void> rewrite_resolver(const std::filesystem::path& folder,
                                            const NameFiles& files);

// Whom the name service asks, and how, given the host's resolv.conf.
struct NameForwarding {
  std::vector<std::string> servers;
  bool single_labels = true;  // names without a dot too
};
[[nodiscard]] NameForwarding name_forwarding(const NameFiles& files, const std::string& host);
// "box.example.org box", as /etc/hosts has a container's names.
[[nodiscard]] std::string host_names(const NameFiles& files);

// `host` is the host's file. Name servers on loopback are left out, for they are not the
// container's; with none left, Google's public ones are used, as Docker does.
[[nodiscard]] std::string resolv_conf_text(const NameFiles& files, const std::string& host);

}  // namespace lab::engine::container
