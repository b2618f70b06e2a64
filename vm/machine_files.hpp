// The files in a machine's own folder: its overlay disk, and what brings its identity into it.
#pragma once

#include <filesystem>

#include "base/error.hpp"
#include "vm/machine.hpp"

namespace lab::vm {

// Makes what is missing: a disk that exists is kept, the seed is written anew. Blocks. Gives the
// spec with the image that the disk was made from, which differs from the asked one when the recipe
// has changed since: kernel and modules have to fit together.
[[nodiscard]] Result<MachineSpec> prepare_machine_files(MachineSpec spec);

// Copies the disk of a machine that is off or paused after Provider::save() to a folder that
// exists, and back over the disk of a machine that is off. What the disk lies on is linked, not
// copied: it must be on the same file system. Blocks.
[[nodiscard]] Result<void> keep_disk(const std::filesystem::path& machine_directory,
                                     const std::filesystem::path& folder);
[[nodiscard]] Result<void> put_disk_back(const std::filesystem::path& folder,
                                         const std::filesystem::path& machine_directory);

// Removes these files, the console too, and the folder if nothing else is in it.
void remove_machine_files(const std::filesystem::path& machine_directory);

}  // namespace lab::vm
