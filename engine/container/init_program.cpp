#include "engine/container/init_program.hpp"

__asm__(
    ".section .rodata\n"
    ".global lab_init_program_begin\n"
    ".global lab_init_program_end\n"
    "lab_init_program_begin:\n"
    ".incbin \"" LAB_INIT_PROGRAM
    "\"\n"
    "lab_init_program_end:\n"
    ".byte 0\n"
    ".previous\n");

extern "C" {
extern const char lab_init_program_begin[];
extern const char lab_init_program_end[];
}

namespace lab::engine::container {

std::string_view init_program() {
  return {lab_init_program_begin,
          static_cast<std::size_t>(lab_init_program_end - lab_init_program_begin)};
}

}  // namespace lab::engine::container
