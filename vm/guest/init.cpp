// The first program of a recipe machine, alone in its initrd. It does what a general initrd does
// with shell scripts, udev and a network daemon, but knows the machine beforehand: load a few
// modules, mount the disk, put the seed files on it, name and address the NICs, and become systemd.
// Under plain emulation this takes a fraction of a second.
//
// It reads the seed (seed.hpp) and, in its own file system, /lab/modules/order: file names of
// kernel modules, one a line, in load order.
#include <fcntl.h>
#include <linux/fs.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <initializer_list>

#include "vm/guest/network.hpp"
#include "vm/guest/roles.hpp"
#include "vm/guest/say.hpp"
#include "vm/guest/seed.hpp"

namespace lab::guest {
namespace {

constexpr unsigned long ext4_ioc_resize_fs = _IOW('f', 16, std::uint64_t);
constexpr std::uint64_t resize_slack_bytes = 64 << 20;

// Says what failed and stops the machine: the console's tail then holds the reason.
[[noreturn]] void give_up(const char* what) {
  say("%s: %s", what, std::strerror(errno));
  sync();
  reboot(RB_POWER_OFF);
  std::exit(1);
}

// The file's text with a final 0, or null. Never freed: this process becomes another one soon.
char* read_text(const char* path) {
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  struct stat info {};
  if (fd < 0 || fstat(fd, &info) != 0) return nullptr;
  char* text = static_cast<char*>(std::calloc(static_cast<std::size_t>(info.st_size) + 1, 1));
  if (text == nullptr || read(fd, text, static_cast<std::size_t>(info.st_size)) != info.st_size)
    return nullptr;
  close(fd);
  return text;
}

void load_modules() {
  char* order = read_text("/lab/modules/order");
  if (order == nullptr) give_up("reading /lab/modules/order");
  char* rest = nullptr;
  for (char* name = strtok_r(order, "\n", &rest); name; name = strtok_r(nullptr, "\n", &rest)) {
    char path[256];
    std::snprintf(path, sizeof path, "/lab/modules/%s", name);
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || (syscall(SYS_finit_module, fd, "", 0) != 0 && errno != EEXIST))
      say("loading module %s: %s", name, std::strerror(errno));
    if (fd >= 0) close(fd);
    unlink(path);
  }
}

void mount_root() {
  // A block device is there as soon as its driver has probed, which is before finit_module
  // returns unless the kernel probes in the background.
  for (const char* device : {"/dev/vda", seed_device})
    for (int i = 0; i < 1000 && access(device, F_OK) != 0; ++i) poll(nullptr, 0, 10);
  if (mount("/dev/vda", "/root", "ext4", MS_NOATIME, "") != 0) give_up("mounting /dev/vda");
}

// Grows the file system to the disk's size, when the disk is bigger than the image it began as.
void grow_root() {
  const int device = open("/dev/vda", O_RDONLY | O_CLOEXEC);
  std::uint64_t bytes = 0;
  struct statfs info {};
  if (device < 0 || ioctl(device, BLKGETSIZE64, &bytes) != 0 || statfs("/root", &info) != 0) return;
  close(device);
  const auto block = static_cast<std::uint64_t>(info.f_bsize);
  // f_blocks leaves out the file system's own overhead, a few per cent.
  if (bytes < block * info.f_blocks * 21 / 20 + resize_slack_bytes) return;
  const int root = open("/root", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  std::uint64_t blocks = bytes / block;
  if (root < 0 || ioctl(root, ext4_ioc_resize_fs, &blocks) != 0)
    say("growing the root file system: %s", std::strerror(errno));
  if (root >= 0) close(root);
}

// Device nodes whose opening loads their driver; devtmpfs has only those of drivers that are there.
void make_nodes() {
  mkdir("/dev/net", 0755);
  mknod("/dev/net/tun", S_IFCHR | 0666, makedev(10, 200));
  mknod("/dev/fuse", S_IFCHR | 0666, makedev(10, 229));
  mknod("/dev/loop-control", S_IFCHR | 0600, makedev(10, 237));
}

[[noreturn]] void become_systemd() {
  if (mount("/dev", "/root/dev", nullptr, MS_MOVE, nullptr) != 0) give_up("moving /dev");
  if (chdir("/root") != 0 || mount(".", "/", nullptr, MS_MOVE, nullptr) != 0 || chroot(".") != 0)
    give_up("entering the root file system");
  char name[] = "/sbin/init";
  char* const arguments[] = {name, nullptr};
  execv(name, arguments);
  give_up("starting /sbin/init");
}

}  // namespace

int initialise() {
  umask(0);
  mkdir("/dev", 0755);
  mkdir("/root", 0755);
  if (mount("devtmpfs", "/dev", "devtmpfs", MS_NOSUID, "mode=0755") != 0) give_up("mounting /dev");
  const int console = open("/dev/console", O_RDWR);
  if (console >= 0) {
    for (int fd = 0; fd < 3; ++fd) dup2(console, fd);
    if (console > 2) close(console);
  }
  load_modules();
  mount_root();
  grow_root();
  const int root = open("/root", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const SeedFacts facts = apply_seed(root);
  close(root);
  if (facts.config == nullptr) give_up("reading the seed on /dev/vdb");
  configure_network(facts.config);
  make_nodes();
  become_systemd();
}

}  // namespace lab::guest
