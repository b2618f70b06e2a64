// The first program of a recipe machine, alone in its initrd. It does what a general initrd does
// with shell scripts, udev and a network daemon, but knows the machine beforehand: load a few
// modules, mount the disk, put the seed files on it, name and address the NICs, and become systemd.
// Under plain emulation this takes a fraction of a second.
//
// It reads, all written by vm/seed.cpp and vm/image_build.cpp:
//   /lab/modules/order   file names of kernel modules, one a line, in load order
//   /lab/config          lines "nic MAC NAME [ADDRESS/PREFIX [GATEWAY]]"
//   /lab/files/...       copied onto the root file system, mode and path as they are
#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <net/if.h>
#include <net/route.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>

namespace {

constexpr unsigned long ext4_ioc_resize_fs = _IOW('f', 16, std::uint64_t);
constexpr std::uint64_t resize_slack_bytes = 64 << 20;
// vm::seed_file_mtime
constexpr std::time_t seed_file_mtime = 946684800;

void say(const char* format, ...) __attribute__((format(printf, 1, 2)));
void say(const char* format, ...) {
  std::va_list arguments;
  va_start(arguments, format);
  std::fputs("lab-init: ", stderr);
  std::vfprintf(stderr, format, arguments);
  std::fputc('\n', stderr);
  va_end(arguments);
}

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
  // The block device is there as soon as its driver has probed, which is before finit_module
  // returns unless the kernel probes in the background.
  for (int i = 0; i < 1000 && access("/dev/vda", F_OK) != 0; ++i) poll(nullptr, 0, 10);
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

void copy_file(int from_folder, int to_folder, const char* name, mode_t mode) {
  const int from = openat(from_folder, name, O_RDONLY | O_CLOEXEC);
  unlinkat(to_folder, name, 0);
  const int to = openat(to_folder, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (from < 0 || to < 0 || fchmod(to, mode & 07777) != 0) {
    say("seed file %s: %s", name, std::strerror(errno));
  } else {
    while (sendfile(to, from, nullptr, std::size_t{1} << 20) > 0) continue;
    const timespec times[2] = {{seed_file_mtime, 0}, {seed_file_mtime, 0}};
    futimens(to, times);
  }
  if (from >= 0) close(from);
  if (to >= 0) close(to);
}

// Copies the entries of one folder onto another; folders that exist keep their mode.
void copy_tree(int from_folder, int to_folder) {
  DIR* entries = fdopendir(from_folder);
  if (entries == nullptr) return;
  while (const dirent* entry = readdir(entries)) {
    const char* name = entry->d_name;
    struct stat info {};
    if (std::strcmp(name, ".") == 0 || std::strcmp(name, "..") == 0) continue;
    if (fstatat(from_folder, name, &info, AT_SYMLINK_NOFOLLOW) != 0) continue;
    if (S_ISREG(info.st_mode)) {
      copy_file(from_folder, to_folder, name, info.st_mode);
    } else if (S_ISDIR(info.st_mode)) {
      mkdirat(to_folder, name, info.st_mode & 07777);
      const int from = openat(from_folder, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
      const int to = openat(to_folder, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
      if (from >= 0 && to >= 0) copy_tree(from, to);
      if (to >= 0) close(to);
    }
  }
  closedir(entries);
}

sockaddr ipv4(const char* text) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  inet_pton(AF_INET, text, &address.sin_addr);
  sockaddr result;
  std::memcpy(&result, &address, sizeof result);
  return result;
}

bool set_up(int fd, ifreq& request) {
  if (ioctl(fd, SIOCGIFFLAGS, &request) != 0) return false;
  request.ifr_flags = static_cast<short>(request.ifr_flags | IFF_UP);
  return ioctl(fd, SIOCSIFFLAGS, &request) == 0;
}

// Gives the NIC with this MAC its name, and the address when there is one.
bool configure_nic(int fd, const char* mac, const char* name, char* address, const char* gateway) {
  ifreq request{};
  unsigned bytes[6];
  if (std::sscanf(mac, "%x:%x:%x:%x:%x:%x", bytes, bytes + 1, bytes + 2, bytes + 3, bytes + 4,
                  bytes + 5) != 6)
    return false;
  bool found = false;
  struct if_nameindex* all = if_nameindex();
  for (struct if_nameindex* one = all; one && one->if_index != 0 && !found; ++one) {
    std::snprintf(request.ifr_name, IFNAMSIZ, "%s", one->if_name);
    if (ioctl(fd, SIOCGIFHWADDR, &request) != 0) continue;
    found = true;
    for (int i = 0; i < 6; ++i)
      found = found && static_cast<unsigned char>(request.ifr_hwaddr.sa_data[i]) == bytes[i];
  }
  if_freenameindex(all);
  if (!found) {
    errno = ENODEV;
    return false;
  }
  std::snprintf(request.ifr_newname, IFNAMSIZ, "%s", name);
  if (ioctl(fd, SIOCSIFNAME, &request) != 0) return false;
  std::snprintf(request.ifr_name, IFNAMSIZ, "%s", name);
  if (address != nullptr) {
    char* slash = std::strchr(address, '/');
    const int prefix = slash ? std::atoi(slash + 1) : 32;
    if (slash) *slash = 0;
    request.ifr_addr = ipv4(address);
    if (ioctl(fd, SIOCSIFADDR, &request) != 0) return false;
    const std::uint32_t mask = prefix == 0 ? 0 : htonl(~std::uint32_t{0} << (32 - prefix));
    request.ifr_netmask = ipv4("0.0.0.0");
    std::memcpy(request.ifr_netmask.sa_data + 2, &mask, sizeof mask);
    if (ioctl(fd, SIOCSIFNETMASK, &request) != 0) return false;
  }
  if (address != nullptr && !set_up(fd, request)) return false;
  if (gateway == nullptr) return true;
  rtentry route{};
  route.rt_dst = ipv4("0.0.0.0");
  route.rt_genmask = ipv4("0.0.0.0");
  route.rt_gateway = ipv4(gateway);
  route.rt_flags = RTF_UP | RTF_GATEWAY;
  return ioctl(fd, SIOCADDRT, &route) == 0;
}

void configure_network() {
  const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  ifreq loopback{};
  std::snprintf(loopback.ifr_name, IFNAMSIZ, "lo");
  if (!set_up(fd, loopback)) say("loopback: %s", std::strerror(errno));
  char* config = read_text("/lab/config");
  if (config == nullptr) give_up("reading /lab/config");
  char* rest = nullptr;
  for (char* line = strtok_r(config, "\n", &rest); line; line = strtok_r(nullptr, "\n", &rest)) {
    char* words = nullptr;
    const char* keyword = strtok_r(line, " ", &words);
    if (keyword == nullptr || std::strcmp(keyword, "nic") != 0) continue;
    const char* mac = strtok_r(nullptr, " ", &words);
    const char* name = strtok_r(nullptr, " ", &words);
    char* address = strtok_r(nullptr, " ", &words);
    const char* gateway = strtok_r(nullptr, " ", &words);
    if (mac == nullptr || name == nullptr || !configure_nic(fd, mac, name, address, gateway))
      say("network interface %s: %s", name ? name : "?", std::strerror(errno));
  }
  close(fd);
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

int main() {
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
  const int files = open("/lab/files", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const int root = open("/root", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (files >= 0 && root >= 0) copy_tree(files, root);
  if (root >= 0) close(root);
  configure_network();
  make_nodes();
  become_systemd();
}
