#include "vm/kernel.hpp"

#include <lz4.h>

#include <cstring>
#include <limits>
#include <vector>

namespace lab::vm {
namespace {

// From the kernel's Documentation/arch/x86/boot.rst.
constexpr std::size_t offset_setup_sectors = 0x1f1;
constexpr std::size_t offset_magic = 0x202;
constexpr std::size_t offset_version = 0x206;
constexpr std::size_t offset_payload = 0x248;
constexpr std::size_t offset_payload_length = 0x24c;
constexpr std::uint16_t version_with_payload = 0x0208;
constexpr std::size_t sector_bytes = 512;

constexpr std::uint32_t lz4_legacy_magic = 0x184c2102;
constexpr std::size_t lz4_block_bytes_max = std::size_t{8} << 20;
constexpr std::size_t kernel_bytes_max = std::size_t{512} << 20;

// The note by which QEMU finds the 32-bit entry point: owner "Xen", XEN_ELFNOTE_PHYS32_ENTRY.
constexpr std::string_view pvh_note{"\x04\0\0\0\x08\0\0\0\x12\0\0\0Xen\0", 16};

template <typename T>
T read_at(std::string_view bytes, std::size_t offset) {
  T value{};
  if (offset + sizeof value <= bytes.size())
    std::memcpy(&value, bytes.data() + offset, sizeof value);
  return value;
}

Result<std::string> unpack_lz4(std::string_view packed) {
  std::string result;
  std::vector<char> block(lz4_block_bytes_max);
  std::size_t position = sizeof lz4_legacy_magic;
  while (position + sizeof(std::uint32_t) <= packed.size()) {
    const auto size = read_at<std::uint32_t>(packed, position);
    position += sizeof size;
    if (size > packed.size() - position) break;  // the kernel's own size field ends the payload
    const int got = LZ4_decompress_safe(packed.data() + position, block.data(),
                                        static_cast<int>(size), static_cast<int>(block.size()));
    if (got < 0 || result.size() + static_cast<std::size_t>(got) > kernel_bytes_max)
      return make_error(Code::unsupported, "the kernel's LZ4 data is damaged");
    result.append(block.data(), static_cast<std::size_t>(got));
    position += size;
  }
  return result;
}

}  // namespace

Result<std::string> extract_vmlinux(std::string_view bzimage) {
  if (bzimage.substr(std::min(offset_magic, bzimage.size()), 4) != "HdrS" ||
      read_at<std::uint16_t>(bzimage, offset_version) < version_with_payload)
    return make_error(Code::unsupported, "this is not an x86 kernel that says what it holds");
  const std::size_t sectors = static_cast<unsigned char>(bzimage[offset_setup_sectors]);
  const std::size_t start = ((sectors == 0 ? 4 : sectors) + 1) * sector_bytes +
                            read_at<std::uint32_t>(bzimage, offset_payload);
  const std::size_t length = read_at<std::uint32_t>(bzimage, offset_payload_length);
  if (start > bzimage.size() || length > bzimage.size() - start)
    return make_error(Code::unsupported, "the kernel file is cut off");
  const std::string_view payload = bzimage.substr(start, length);
  if (read_at<std::uint32_t>(payload, 0) != lz4_legacy_magic)
    return make_error(Code::unsupported, "the kernel is not packed with LZ4");
  LAB_TRY(std::string kernel, unpack_lz4(payload));
  if (!kernel.starts_with("\x7f"
                          "ELF") ||
      kernel.find(pvh_note) == std::string::npos)
    return make_error(Code::unsupported, "the kernel has no entry point for virtual machines");
  return kernel;
}

}  // namespace lab::vm
