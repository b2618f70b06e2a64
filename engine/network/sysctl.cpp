#include "engine/network/sysctl.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "base/file.hpp"
#include "base/log.hpp"

namespace lab::engine::network {

Result<void> write_sysctl(const std::string& path, std::string_view value) {
  // Reading is cheap; writing takes the lock of all network devices.
  Result<std::string> now = read_file("/proc/sys/" + path, 64);
  if (now && *now == std::string(value) + "\n") return {};
  Fd fd(open(("/proc/sys/" + path).c_str(), O_WRONLY | O_CLOEXEC));
  if (!fd || write(fd.get(), value.data(), value.size()) < 0)
    return errno_error(errno, "writing /proc/sys/" + path);
  return {};
}

void try_sysctl(const std::string& path, std::string_view value) {
  if (Result<void> written = write_sysctl(path, value); !written)
    log::debug("{}", written.error().message);
}

}  // namespace lab::engine::network
