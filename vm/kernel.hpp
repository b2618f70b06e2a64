// Takes the kernel proper out of the self-extracting file that distributions ship. A virtual
// machine can start it as it is (PVH), and an emulated one saves seconds of decompression.
#pragma once

#include <string>
#include <string_view>

#include "base/error.hpp"

namespace lab::vm {

// The ELF kernel inside an x86 bzImage. Code::unsupported when it is packed with anything but LZ4
// or cannot be entered directly; the bzImage then has to be booted itself.
[[nodiscard]] Result<std::string> extract_vmlinux(std::string_view bzimage);

}  // namespace lab::vm
