#include "engine/image/platform.hpp"

#include <algorithm>
#include <cctype>
#include <iterator>
#include <string>

namespace lab::engine::image {

namespace {

constexpr std::string_view known_words[] = {"linux",  "windows", "darwin",   "freebsd", "amd64",
                                            "x86_64", "x86-64",  "386",      "i386",    "arm",
                                            "armhf",  "armel",   "arm64",    "aarch64", "ppc64le",
                                            "s390x",  "mips64",  "mips64le", "riscv64"};

std::string lower_case(std::string_view text) {
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return lower;
}

}  // namespace

Result<void> check_platform_name(std::string_view platform) {
  if (platform.empty() || platform.find('/') != std::string_view::npos) return {};
  const std::string word = lower_case(platform);
  if (std::find(std::begin(known_words), std::end(known_words), word) != std::end(known_words))
    return {};
  return make_error(Code::invalid_argument,
                    "\"{}\": unknown operating system or architecture: invalid argument", platform);
}

bool is_own_platform(std::string_view platform) {
  const std::string text = lower_case(platform);
  constexpr std::string_view system = "linux/";
  if (!text.starts_with(system)) return false;
  const std::size_t end = std::min(text.find('/', system.size()), text.size());
  const std::string architecture = text.substr(system.size(), end - system.size());
  return architecture == "amd64" || architecture == "x86_64" || architecture == "x86-64";
}

}  // namespace lab::engine::image
