#include "engine/container/attach.hpp"
#include "tests/fuzz/targets.hpp"

namespace lab::fuzz {

void stream(std::string_view bytes) {
  const std::size_t end = std::min(bytes.find('\n'), bytes.size());
  auto keys = engine::container::DetachKeys::parse(bytes.substr(0, end));
  if (!keys) return;
  bool detached = false;
  const std::string_view typed = bytes.substr(std::min(end + 1, bytes.size()));
  std::size_t passed = 0;
  // In one piece, and byte by byte: the same must come out.
  auto single = *keys;
  const std::string whole = keys->filter(typed, detached);
  bool single_detached = false;
  std::string pieces;
  for (; passed < typed.size() && !single_detached; ++passed)
    pieces += single.filter(typed.substr(passed, 1), single_detached);
  if (whole != pieces || detached != single_detached) std::abort();
}

}  // namespace lab::fuzz
