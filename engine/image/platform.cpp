#include "engine/image/platform.hpp"

#include <algorithm>
#include <boost/algorithm/string/case_conv.hpp>
#include <iterator>
#include <string>

namespace lab::engine::image {

namespace {

constexpr std::string_view known_words[] = {"linux",  "windows", "darwin",   "freebsd", "amd64",
                                            "x86_64", "x86-64",  "386",      "i386",    "arm",
                                            "armhf",  "armel",   "arm64",    "aarch64", "ppc64le",
                                            "s390x",  "mips64",  "mips64le", "riscv64"};

bool is_own_architecture(std::string_view name) {
  return name == "amd64" || name == "x86_64" || name == "x86-64";
}

}  // namespace

Result<void> check_platform_name(std::string_view platform) {
  if (platform.empty() || platform.find('/') != std::string_view::npos) return {};
  const std::string word = boost::to_lower_copy(std::string(platform));
  if (std::find(std::begin(known_words), std::end(known_words), word) != std::end(known_words))
    return {};
  return make_error(Code::invalid_argument,
                    "\"{}\": unknown operating system or architecture: invalid argument", platform);
}

bool is_own_platform(std::string_view platform) {
  const std::string text = boost::to_lower_copy(std::string(platform));
  constexpr std::string_view system = "linux/";
  if (text == "linux") return true;
  if (text.find('/') == std::string::npos) return is_own_architecture(text);
  if (!text.starts_with(system)) return false;
  const std::size_t end = std::min(text.find('/', system.size()), text.size());
  return is_own_architecture(std::string_view(text).substr(system.size(), end - system.size()));
}

}  // namespace lab::engine::image
