// How engined was started: dockerd's flags and the keys of its daemon.json.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "engine/registry/options.hpp"

namespace lab::engine {

struct DaemonConfig {
  std::vector<std::string> hosts;  // "unix:///var/run/docker.sock", "fd://", "tcp://ADDRESS:PORT"
  std::filesystem::path data_root = "/var/lib/engined";
  std::filesystem::path exec_root = "/run/engined";
  std::filesystem::path pidfile;
  std::filesystem::path swarm_socket = "/run/swarmd/api.sock";
  std::string bip = "172.17.0.1/16";
  std::string group = "docker";  // of the API socket
  int mtu = 1500;
  bool debug = false;
  bool experimental = false;  // allows `docker build --squash`
  std::vector<std::string> labels;
  registry::Options registry;
  std::string crun = "crun";
  std::string conmon = "conmon";
  // tcp:// hosts take mutual TLS only.
  bool tls_verify = false;
  std::filesystem::path tls_ca_certificate;
  std::filesystem::path tls_certificate;
  std::filesystem::path tls_key;
};

// Sets what the file names. A value of the wrong type, a key that is none of dockerd's, and a key
// that was given as a flag too (`flags` holds their names) are errors, as for dockerd; dockerd's
// keys that mean nothing here are accepted.
[[nodiscard]] Result<void> apply_config_file(DaemonConfig& config, const std::string& text,
                                             const std::vector<std::string>& flags);

}  // namespace lab::engine
