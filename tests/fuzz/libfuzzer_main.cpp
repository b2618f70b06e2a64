// The entry point that libFuzzer calls; LAB_FUZZ_TARGET is set for each program.
#include <cstddef>
#include <cstdint>

#include "tests/fuzz/targets.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  lab::fuzz::LAB_FUZZ_TARGET({reinterpret_cast<const char*>(data), size});
  return 0;
}
