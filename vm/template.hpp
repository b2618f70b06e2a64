// Templates: a machine that has booted to the point where it lacks nothing but an identity, kept as
// disk, memory and state of its devices. Machines start from it instead of booting.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <filesystem>
#include <functional>
#include <string>

#include "base/error.hpp"
#include "vm/machine.hpp"
#include "vm/provider.hpp"
#include "vm/saved_state.hpp"

namespace lab::vm {

struct MachineTemplate {
  std::string key;             // its folder's name
  std::filesystem::path disk;  // for MachineSpec::template_disk
  SavedState state;            // for Provider::start_saved()
};

// What a template of machines like this one is kept under: it differs with everything that makes
// one stale (image and kernel, memory, processors, disk size, devices, what the seed brings) and
// with `emulator` (Provider::emulator()), and is the same for what is only this machine's.
[[nodiscard]] std::string template_key(const MachineSpec& like, const std::string& emulator);

// The template of all machines that have `like`'s image, memory, processors, disk size and seed
// files, on this emulator and processor; below `cache_root`/templates, under the hash of all that.
// Where it is missing or damaged (each file has a checksum, compared once between two boots of the
// host and whenever a file looks changed) it is made: a machine with `like`'s ports boots, is saved
// and removed. Makers wait for each other; what an interrupted one leaves is removed by the
// next. Code::unsupported for a cloud image.
[[nodiscard]] boost::asio::awaitable<Result<MachineTemplate>> ensure_template(
    Provider& provider, MachineSpec like, std::filesystem::path cache_root,
    std::function<void(std::string line)> progress);

}  // namespace lab::vm
