// Whether this host's /dev/kvm can be used. That it opens is not enough: inside some virtual
// machines it opens and then runs no guest.
#pragma once

#include <string>

namespace lab::vm {

struct KvmStatus {
  bool usable = false;
  std::string reason;  // why not, for a person
};

// Lets QEMU run a few instructions of 16-bit and 64-bit code with it. Blocks for 0.1 s, and for at
// most 3 s where KVM hangs.
[[nodiscard]] KvmStatus probe_kvm();

// The firmware image that the probe runs; QEMU ends with kvm_probe_status when all of it was run.
[[nodiscard]] std::string kvm_probe_firmware();
inline constexpr int kvm_probe_status = (0x2a << 1) | 1;

}  // namespace lab::vm
