// The labfile: what a lab is made of, read from TOML (docs/labfile.md is its reference). Reading
// checks everything and reports all problems of the file at once, each with its place; a Labfile
// that exists is consistent.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/error.hpp"
#include "netsim/quality.hpp"
#include "vm/image.hpp"

namespace lab::provision {

struct LabfileProblem {
  std::uint32_t line = 0;  // from 1; 0: the file as a whole
  std::uint32_t column = 0;
  std::string message;
};

enum class Role : std::uint8_t { worker, manager, none };
[[nodiscard]] std::string_view to_string(Role role);

// What is put on a machine before its commands run. Exactly one of source and content is set.
struct ProvisionFile {
  std::filesystem::path source;        // absolute; a file or a folder with all below it
  std::optional<std::string> content;  // the file's text itself
  std::string target;                  // absolute, on the machine
  std::optional<unsigned> mode;        // of files; else the source's, 0644 for content
  bool operator==(const ProvisionFile&) const = default;
};

// A folder of this host that a machine has a copy of.
struct SyncConfig {
  std::filesystem::path from;        // absolute
  std::string to;                    // absolute, on the machine
  std::vector<std::string> exclude;  // patterns of provision/sync/tree.hpp
  bool operator==(const SyncConfig&) const = default;
};

struct MachineConfig {
  std::string name;
  std::string address;  // IPv4, without prefix
  std::uint64_t memory_mib = 768;
  unsigned cpus = 1;
  unsigned cpus_max = 1;  // at least `cpus`
  std::uint64_t disk_mib = 8192;
  Role role = Role::worker;
  std::map<std::string, std::string> labels;
  std::vector<SyncConfig> sync;       // in order, those of [defaults] first
  std::vector<ProvisionFile> files;   // likewise
  std::vector<std::string> commands;  // likewise; each is a script for sh
};

// One direction between two machines; "*" is any machine.
struct LinkConfig {
  std::string from;
  std::string to;
  netsim::LinkQuality quality;
};

struct RegistryConfig {
  std::string machine;
  std::uint16_t port = 443;
  bool tls = true;
};

// 127.0.0.1:host_port on the host reaches `port` of the machine.
struct ForwardConfig {
  std::uint16_t host_port = 0;
  std::string machine;
  std::uint16_t port = 0;
};

struct Labfile {
  std::filesystem::path path;  // absolute
  std::string name;
  vm::ImageRequest image;
  std::string libvirt_uri = "qemu:///session";
  std::string subnet = "192.168.50.0/24";
  std::vector<LinkConfig> links;
  std::vector<MachineConfig> machines;  // in the file's order
  std::vector<RegistryConfig> registries;
  bool swarm = false;        // form one
  std::string swarm_leader;  // the manager that initialises it
  std::vector<ForwardConfig> forwards;
  std::vector<std::filesystem::path> scenarios;  // absolute

  // nullptr when there is none of that name.
  [[nodiscard]] const MachineConfig* find(std::string_view machine) const;
  [[nodiscard]] unsigned prefix_length() const;
};

struct LabfileReading {
  std::optional<Labfile> labfile;  // set when there are no problems
  std::vector<LabfileProblem> problems;
};

// `path` is only named, and the folder that relative paths start from.
[[nodiscard]] LabfileReading parse_labfile(std::string_view text,
                                           const std::filesystem::path& path);

// "FILE:LINE:COLUMN: MESSAGE", one line for each problem.
[[nodiscard]] std::string format_problems(const std::vector<LabfileProblem>& problems,
                                          const std::string& file);

// Reads and parses; all problems are in the one error (Code::invalid_argument). A missing file is
// Code::not_found with what to do about it.
[[nodiscard]] Result<Labfile> load_labfile(const std::filesystem::path& path);

// The commented labfile that `lab init` writes.
[[nodiscard]] std::string_view labfile_template();

}  // namespace lab::provision
