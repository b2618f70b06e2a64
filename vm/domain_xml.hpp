// A machine in libvirt's words.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "base/error.hpp"
#include "vm/machine.hpp"

namespace lab::vm {

// The namespace of the element in a domain's metadata that says it is ours.
inline constexpr const char* metadata_namespace = "urn:swarmlab:machine:1";

struct Ownership {
  MachineId id;
  std::filesystem::path directory;
  std::uint16_t ssh_port = 0;
};

// "LAB_ID.NAME": no two labs of a user meet.
[[nodiscard]] std::string domain_name(const MachineId& id);

// The metadata element, and what it says; nothing when it is not such an element.
[[nodiscard]] std::string metadata_xml(const Ownership& ownership);
[[nodiscard]] std::optional<Ownership> parse_metadata(const std::string& xml);

// Files in the machine's folder.
[[nodiscard]] std::filesystem::path disk_path(const std::filesystem::path& machine_directory);
[[nodiscard]] std::filesystem::path initrd_path(const std::filesystem::path& machine_directory);
[[nodiscard]] std::filesystem::path seed_path(const std::filesystem::path& machine_directory);

// The whole domain. `kvm`: hardware virtualization, else plain emulation.
[[nodiscard]] std::string domain_xml(const MachineSpec& spec, bool kvm);

// The domain as it is started from a saved state: it waits for one, and its memory is a private
// mapping of `memory_file` unless that is empty. `xml` is what libvirt says of a domain that
// domain_xml() described. Code::unsupported when it is not such a domain.
[[nodiscard]] Result<std::string> incoming_domain_xml(std::string xml,
                                                      const std::filesystem::path& memory_file);

[[nodiscard]] std::string xml_escape(std::string_view text);

}  // namespace lab::vm
