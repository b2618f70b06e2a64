#include "engine/build/ignore.hpp"
#include "tests/fuzz/targets.hpp"

namespace lab::fuzz {

void ignore(std::string_view bytes) {
  const std::size_t end = std::min(bytes.find('\0'), bytes.size());
  const std::string_view paths = bytes.substr(std::min(end + 1, bytes.size()));
  auto patterns = engine::build::IgnorePatterns::parse(bytes.substr(0, end));
  if (patterns) static_cast<void>(patterns->excludes(paths));
  static_cast<void>(engine::build::match_path(bytes.substr(0, end), paths));
}

}  // namespace lab::fuzz
