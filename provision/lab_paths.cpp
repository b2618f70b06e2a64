#include "provision/lab_paths.hpp"

#include <cstdlib>

#include "base/digest.hpp"

namespace lab::provision {

namespace fs = std::filesystem;

fs::path cache_root() {
  auto from = [](const char* variable) -> fs::path {
    const char* value = std::getenv(variable);
    return value == nullptr ? fs::path() : fs::path(value);
  };
  if (fs::path root = from("LAB_CACHE"); !root.empty()) return fs::absolute(root);
  if (fs::path root = from("XDG_CACHE_HOME"); root.is_absolute()) return root / "lab";
  fs::path home = from("HOME");
  return fs::absolute(home.empty() ? fs::path("/root") : home) / ".cache" / "lab";
}

std::string lab_id(std::string_view lab_name, const fs::path& labfile) {
  std::error_code ignored;
  fs::path whole = fs::weakly_canonical(fs::absolute(labfile), ignored);
  if (ignored) whole = fs::absolute(labfile).lexically_normal();
  return std::string(lab_name) + "-" + sha256_hex(whole.string()).substr(0, 6);
}

LabPaths lab_paths(const fs::path& root, std::string_view lab_name, const fs::path& labfile) {
  return LabPaths{root / "labs" / lab_id(lab_name, labfile)};
}

}  // namespace lab::provision
