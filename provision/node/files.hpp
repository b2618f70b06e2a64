// The files that a node needs from us: programs, units, certificates, configuration, and what the
// labfile adds. A manifest on the node remembers what was put there, so that a check costs one
// `stat`.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "provision/lab/keys.hpp"
#include "provision/labfile/labfile.hpp"
#include "vm/machine.hpp"

namespace lab::provision {

// What was sent over SSH, and what the machine's seed put there at its last boot.
inline constexpr std::string_view manifest_path = "/var/lib/lab/manifest";
inline constexpr std::string_view seed_manifest_path = "/var/lib/lab/manifest.seed";

struct NodeFile {
  std::string path;  // absolute, on the node
  unsigned mode = 0644;
  std::shared_ptr<const std::string> content;
  std::string sha256;
};

[[nodiscard]] NodeFile make_node_file(std::string path, std::string content, unsigned mode);

// The programs for the guests, which lie beside `lab`: engined and swarmd. Read and hashed once.
struct NodePrograms {
  std::vector<NodeFile> files;
};
[[nodiscard]] Result<NodePrograms> load_programs(const std::filesystem::path& folder);

// What all machines of a lab share.
struct NodeConfig {
  std::uint16_t mirror_port = 0;
  std::string authority_pem;
  std::map<std::string, Certificate> registry_certificates;  // by registry_key()
};
[[nodiscard]] std::string registry_key(const RegistryConfig& registry);

// The folder of the registry's domain.crt and domain.key on its machine: the tutorial's
// "/vagrant/tmp" for a lab's first registry.
[[nodiscard]] std::string registry_folder(const Labfile& labfile, const RegistryConfig& registry);

[[nodiscard]] std::string daemon_json(const Labfile& labfile, const NodeConfig& config);

// The units of the programs, the same on every machine.
[[nodiscard]] std::vector<NodeFile> unit_files();

// Units, configuration and certificates of one machine.
[[nodiscard]] std::vector<NodeFile> node_files(const Labfile& labfile, const MachineConfig& machine,
                                               const NodeConfig& config);

// The labfile's own files of a machine, folders spread out.
[[nodiscard]] Result<std::vector<NodeFile>> provision_files(const MachineConfig& machine);

// The manifest: a line "SHA256 SIZE MTIME MODE PATH" for each file.
struct ManifestEntry {
  std::string sha256;
  std::uint64_t size = 0;
  std::int64_t mtime = 0;
  unsigned mode = 0;
};
using Manifest = std::map<std::string, ManifestEntry>;
// Lines that do not parse are left out: their files count as missing.
[[nodiscard]] Manifest parse_manifest(std::string_view text);
[[nodiscard]] std::string format_manifest(const Manifest& manifest);

// Output of `stat -c '%s %Y %a %n'`.
[[nodiscard]] Manifest parse_stat(std::string_view text);

// Those of `wanted` that the node lacks or has otherwise: no manifest has them as they are found.
[[nodiscard]] std::vector<NodeFile> files_to_send(const std::vector<NodeFile>& wanted,
                                                  const std::vector<const Manifest*>& manifests,
                                                  const Manifest& found);

// How the files are found on a machine whose seed has put them there.
[[nodiscard]] Manifest seed_manifest(const std::vector<NodeFile>& files);

// The same files as a recipe machine's seed, with their manifest: they are there at boot.
[[nodiscard]] std::vector<vm::SeedFile> seed_files(const std::vector<NodeFile>& files);

}  // namespace lab::provision
