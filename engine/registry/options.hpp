// What an engine's configuration says about registries: dockerd's keys.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace lab::engine::registry {

struct Options {
  std::vector<std::string> mirrors;              // "http://10.0.2.2:5000": of docker.io, in order
  std::vector<std::string> insecure_registries;  // "host:port", "host" or "10.0.0.0/8"
  std::filesystem::path certificates_directory = "/etc/docker/certs.d";
  unsigned downloads_max = 3;  // max-concurrent-downloads
  unsigned uploads_max = 5;    // max-concurrent-uploads
};

}  // namespace lab::engine::registry
