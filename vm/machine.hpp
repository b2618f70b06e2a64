// What a lab machine is, whichever provider makes it real: its name, its size, its two NICs, the
// image it boots and the things that are its own (host name, keys, address).
#pragma once

#include <sys/types.h>

#include <compare>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "vm/image.hpp"

namespace lab::vm {

// The modification time of seed files on a recipe machine, in seconds since 1970 (the first of
// January 2000), so that one that was changed later can be told.
inline constexpr std::int64_t seed_file_mtime = 946'684'800;

// Names a machine of a lab among all machines of this user. Providers touch nothing else.
struct MachineId {
  std::string lab_id;  // "NAME-6HEX", see the lab's state folder
  std::string name;    // as in the labfile: "vm1"
  auto operator<=>(const MachineId&) const = default;
};

enum class MachineState : std::uint8_t {
  absent,   // the provider does not know it
  off,      // defined and not running: never started, powered off, or stopped
  running,  // also while it boots or shuts down
  paused,
  crashed,     // was running, and its emulator or guest died; start() works
  unfinished,  // whoever started it from a saved state was interrupted before that was read; it is
               // worth nothing, and start() boots it
};

[[nodiscard]] std::string_view to_string(MachineState state);

// A file that the guest has before its first process starts (again at every boot: the seed wins
// over changes made in the guest). Megabytes are welcome: nothing else brings a program into a
// machine as fast. Units named engined.service and swarmd.service below /etc/systemd/system are
// started by multi-user.target of a recipe machine without being enabled.
struct SeedFile {
  std::string path;  // absolute, in the guest
  std::string content;
  mode_t mode = 0644;  // owner is root
  std::string sha256;  // of the content, in hexadecimal, from who knows it already
};

// What makes a machine itself. Either kind of image gets it from a disk of its own, the seed: a
// recipe image as files, a cloud image in the form of NoCloud.
struct Identity {
  std::string hostname;
  std::string lab_address;       // with prefix length: "192.168.50.4/24"; empty: the NIC stays down
  std::string ssh_host_key;      // OpenSSH private key, ed25519
  std::string ssh_host_key_pub;  // its "ssh-ed25519 AAAA..." line
  std::vector<std::string> authorized_keys;                // of root
  std::vector<std::pair<std::string, std::string>> hosts;  // (address, name) for /etc/hosts
};

// The NIC on the lab's switch: Ethernet frames in UDP datagrams on 127.0.0.1. QEMU binds nic_port
// and sends to switch_port.
struct LabNic {
  std::string mac;  // "52:54:00:12:34:56"; the guest calls the NIC `lab0`
  std::uint16_t switch_port = 0;
  std::uint16_t nic_port = 0;
};

struct MachineSpec {
  MachineId id;
  std::filesystem::path
      directory;  // the machine's own folder: disk, seed, console. Made if missing
  std::uint64_t memory_mib = 768;
  unsigned cpus = 1;
  unsigned cpus_max = 1;          // what it can be given while it runs; at least `cpus` counts
  std::uint64_t disk_mib = 8192;  // what the guest sees; the overlay file grows as it is written
  GuestImage image;
  Identity identity;
  std::vector<SeedFile> seed_files;  // beyond the identity's
  LabNic lab_nic;
  // 127.0.0.1:ssh_port on the host reaches port 22 of the guest through the management NIC `mgmt0`
  // (QEMU user networking: guest 10.0.2.15, host's loopback 10.0.2.2, name server 10.0.2.3).
  std::uint16_t ssh_port = 0;
  // The disk begins as this one, a template's, in the image's place; empty: as the image.
  std::filesystem::path template_disk;
  // A template: it boots up to where only an identity is missing (its own is not used) and waits
  // there for the seed of another machine.
  bool is_template = false;
  // The guest's memory is this file, made when missing and never removed here; empty: anonymous.
  std::filesystem::path memory_file;
};

}  // namespace lab::vm
