#include "engine/util/privileges.hpp"

#include <linux/capability.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

namespace lab::engine {

namespace {

constexpr int used[] = {
    // layers, volumes and copied files: of any owner, with any mode, device or attribute
    CAP_CHOWN,
    CAP_DAC_OVERRIDE,
    CAP_DAC_READ_SEARCH,
    CAP_FOWNER,
    CAP_FSETID,
    CAP_MKNOD,
    CAP_SETFCAP,
    // overlay changes files with the rights of whoever mounted it: a container may be given this
    // one
    CAP_LINUX_IMMUTABLE,
    // mounts, namespaces, bridges, published ports
    CAP_SYS_ADMIN,
    CAP_SYS_CHROOT,
    CAP_NET_ADMIN,
    CAP_NET_BIND_SERVICE,
    // processes: signals, their namespaces, the sockets that a monitor keeps for us
    CAP_KILL,
    CAP_SYS_PTRACE,
    CAP_SYS_RESOURCE,
};

}  // namespace

Result<void> drop_unused_capabilities() {
  if (geteuid() != 0) return {};
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3]{};
  if (syscall(SYS_capget, &header, sets) != 0) return errno_error(errno, "reading capabilities");
  __user_cap_data_struct kept[_LINUX_CAPABILITY_U32S_3]{};
  for (int capability : used) kept[CAP_TO_INDEX(capability)].permitted |= CAP_TO_MASK(capability);
  for (int i = 0; i < _LINUX_CAPABILITY_U32S_3; ++i) {
    sets[i].permitted &= kept[i].permitted;
    sets[i].effective &= kept[i].permitted;
    sets[i].inheritable = 0;
  }
  if (syscall(SYS_capset, &header, sets) != 0) return errno_error(errno, "giving up capabilities");
  return {};
}

}  // namespace lab::engine
