// What `lab up` has decided once for a lab and must remember: ports and MAC addresses. Kept in
// state.json, replaced atomically.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "base/file.hpp"
#include "provision/lab_paths.hpp"

namespace lab::provision {

struct MachinePorts {
  std::string mac;
  std::uint16_t ssh_port = 0;     // TCP, on 127.0.0.1
  std::uint16_t switch_port = 0;  // UDP, bound by labd
  std::uint16_t nic_port = 0;     // UDP, bound by QEMU
  unsigned cpus = 0;              // that the provider was told last
  std::string spec_hash;          // of the spec that the provider was told last; empty: none
  std::string image_id;           // of the image that its disk began from
};

struct LabState {
  std::string name;
  std::string id;
  std::filesystem::path labfile;
  std::string libvirt_uri;
  std::uint16_t mirror_port = 0;  // TCP, bound by labd
  std::map<std::string, MachinePorts> machines;
};

// Code::not_found when the lab was never brought up, Code::internal for a file that does not parse.
[[nodiscard]] Result<LabState> load_state(const LabPaths& paths);
[[nodiscard]] Result<void> save_state(const LabPaths& paths, const LabState& state);

// Ports on 127.0.0.1 that nothing uses now and `taken` does not hold.
enum class Transport : std::uint8_t { tcp, udp };
[[nodiscard]] bool port_is_free(Transport transport, std::uint16_t port);
[[nodiscard]] Result<std::uint16_t> choose_port(Transport transport,
                                                const std::vector<std::uint16_t>& taken);

// "52:54:00:..", the same for the same lab and machine.
[[nodiscard]] std::string machine_mac(const std::string& lab_id, const std::string& machine);

// The lab's lock: one changing command at a time. The error says who holds it.
[[nodiscard]] Result<Fd> lock_lab(const LabPaths& paths);

}  // namespace lab::provision
