// A machine at one instant, as files: what Provider::save() writes and Provider::start_saved() goes
// on from. The disk as it was at that instant belongs to it, and is kept by whoever saves.
#pragma once

#include <filesystem>

namespace lab::vm {

struct SavedState {
  // QEMU's migration stream: processors and devices, and the memory unless that is a file of its
  // own. Only the same version of QEMU on the same kind of processor is sure to take it.
  std::filesystem::path devices;
  // The memory, when the machine was defined with MachineSpec::memory_file. Machines that start
  // from it map it privately: they share what they do not change, and never write to it. It must
  // not change while one of them runs; it may be removed. Empty: `devices` holds the memory.
  std::filesystem::path memory;
};

}  // namespace lab::vm
