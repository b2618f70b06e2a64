#include <sstream>

#include "base/file.hpp"
#include "vm/provider.hpp"

namespace lab::vm {
namespace {

constexpr std::size_t console_bytes_max = std::size_t{64} << 20;

// Without escape sequences ("ESC [ ... letter", "ESC letter") and other control characters.
std::string plain(const std::string& text) {
  std::string result;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    if (c == 0x1b) {
      if (i + 1 < text.size() && text[i + 1] == '[') {
        i += 2;
        while (i < text.size() && (text[i] < '@' || text[i] > '~')) ++i;
      } else {
        ++i;
      }
    } else if (c == '\t' || c == '\n' || c >= 0x20) {
      result += text[i];
    }
  }
  return result;
}

}  // namespace

std::string_view to_string(MachineState state) {
  switch (state) {
    case MachineState::absent: return "absent";
    case MachineState::off: return "off";
    case MachineState::running: return "running";
    case MachineState::paused: return "paused";
    case MachineState::crashed: return "crashed";
    case MachineState::unfinished: return "unfinished";
  }
  return "unknown";
}

std::filesystem::path console_path(const std::filesystem::path& machine_directory) {
  return machine_directory / "console.log";
}

std::string console_tail(const std::filesystem::path& machine_directory, std::size_t lines) {
  const std::filesystem::path path = console_path(machine_directory);
  const Result<std::string> text = read_file(path, console_bytes_max);
  if (!text) return fmt::format("(no console: {})", text.error().message);
  std::deque<std::string> last;
  std::istringstream stream(plain(*text));
  for (std::string line; std::getline(stream, line);) {
    if (line.find_first_not_of(" \t") == std::string::npos) continue;
    last.push_back(line);
    if (last.size() > lines) last.pop_front();
  }
  if (last.empty()) return fmt::format("({} is empty)", path.string());
  return fmt::format("{}", fmt::join(last, "\n"));
}

bool network_is_up(const std::filesystem::path& machine_directory) {
  const Result<std::string> text = read_file(console_path(machine_directory), console_bytes_max);
  return text && text->find("lab: the network is configured") != std::string::npos;
}

}  // namespace lab::vm
