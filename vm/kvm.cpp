#include "vm/kvm.hpp"

#include <fcntl.h>

#include <cerrno>
#include <cstring>

#include "base/file.hpp"
#include "base/subprocess.hpp"

// Begins at physical address 0xf0000. From the processor's reset it goes to 64-bit mode (page
// tables at 0x1000, the first 2 MiB mapped) and ends QEMU through its isa-debug-exit device.
__asm__(R"(
.section .rodata
.global lab_kvm_probe_begin, lab_kvm_probe_end
lab_kvm_probe_begin:
.code16
  cli
  xorw %ax, %ax
  movw %ax, %ds
  movl $0x2003, 0x1000
  movl $0x3003, 0x2000
  movl $0x0083, 0x3000
  movl $0x20, %eax
  movl %eax, %cr4
  movl $0x1000, %eax
  movl %eax, %cr3
  movl $0xc0000080, %ecx
  rdmsr
  orl $0x100, %eax
  wrmsr
  lgdtl %cs:(lab_kvm_probe_table - lab_kvm_probe_begin)
  movl $0x80000001, %eax
  movl %eax, %cr0
  ljmpl $8, $(0xf0000 + lab_kvm_probe_long - lab_kvm_probe_begin)
.code64
lab_kvm_probe_long:
  movw $0x501, %dx
  movb $0x2a, %al
  outb %al, %dx
1:
  hlt
  jmp 1b
.balign 8
lab_kvm_probe_segments:
  .quad 0, 0x00209a0000000000
lab_kvm_probe_table:
  .word 15
  .long 0xf0000 + lab_kvm_probe_segments - lab_kvm_probe_begin
lab_kvm_probe_end:
.previous
)");

extern "C" const char lab_kvm_probe_begin[], lab_kvm_probe_end[];

namespace lab::vm {
namespace {

constexpr std::size_t firmware_bytes = 64 << 10;
constexpr std::size_t reset_vector = 0xfff0;
constexpr std::string_view jump_to_start{"\xe9\x0d\x00", 3};  // 16-bit offsets wrap around
constexpr std::chrono::seconds probe_time_max{3};

// The first line of what QEMU said, without what comes before the matter itself.
std::string first_line(const std::string& text) {
  std::string line = text.substr(0, text.find('\n'));
  for (const std::string_view prefix : {"qemu-system-x86_64: ", "error: "})
    if (line.starts_with(prefix)) line.erase(0, prefix.size());
  return line;
}

}  // namespace

std::string kvm_probe_firmware() {
  std::string image(firmware_bytes, '\0');
  image.replace(0, static_cast<std::size_t>(lab_kvm_probe_end - lab_kvm_probe_begin),
                lab_kvm_probe_begin,
                static_cast<std::size_t>(lab_kvm_probe_end - lab_kvm_probe_begin));
  image.replace(reset_vector, jump_to_start.size(), jump_to_start);
  return image;
}

KvmStatus probe_kvm() {
  const Fd device(open("/dev/kvm", O_RDWR | O_CLOEXEC));
  if (!device) return {false, fmt::format("/dev/kvm: {}", std::strerror(errno))};
  const TemporaryDirectory folder("lab-kvm");
  const std::filesystem::path firmware = folder.path() / "probe.bin";
  if (auto written = write_file(firmware, kvm_probe_firmware()); !written)
    return {false, written.error().message};
  Command command;
  command.argv = {"qemu-system-x86_64",
                  "-accel",
                  "kvm",
                  "-cpu",
                  "host",
                  "-machine",
                  "q35",
                  "-m",
                  "32",
                  "-nodefaults",
                  "-no-user-config",
                  "-display",
                  "none",
                  "-bios",
                  firmware.string(),
                  "-device",
                  "isa-debug-exit"};
  command.timeout = probe_time_max;
  const Result<CommandResult> result = run_command(command);
  if (!result) return {false, "a guest that runs with it does not get anywhere"};
  if (result->exit_status == kvm_probe_status) return {true, {}};
  return {false, first_line(result->errors)};
}

}  // namespace lab::vm
