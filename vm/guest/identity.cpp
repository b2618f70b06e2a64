// A template waits here when its state is saved; each machine started from that state goes on here
// with a seed of its own. What the kernel made up at the template's boot is made anew, so that
// sisters share no more than the image's files.
#include <fcntl.h>
#include <linux/random.h>
#include <linux/rtc.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>

#include "vm/guest/network.hpp"
#include "vm/guest/roles.hpp"
#include "vm/guest/say.hpp"
#include "vm/guest/seed.hpp"

namespace lab::guest {
namespace {

constexpr int look_again_ms = 5;
// vm/seed.cpp
constexpr const char* host_key_pipe = "/run/lab/host-key";
constexpr const char* host_key = "/etc/ssh/ssh_host_ed25519_key";
constexpr const char* boot_id = "/run/lab/boot-id";

// What vm/seed.cpp gives a template and no machine keeps.
constexpr const char* template_files[] = {
    "/etc/systemd/system/lab-identity.service",
    "/etc/systemd/system/multi-user.target.d/lab-identity.conf",
    "/etc/systemd/system/engined.service.d/lab-identity.conf",
    "/etc/systemd/journald.conf.d/template.conf",
    "/etc/systemd/system/systemd-tmpfiles-setup.service.d/lab-identity.conf",
    "/etc/systemd/system/systemd-sysctl.service.d/lab-identity.conf",
    "/etc/systemd/system/power-button.service.d/lab-identity.conf",
};

// Memory that was used and freed is full of what nobody needs; zeros cost a saved state nothing.
void clear_free_memory() {
  constexpr std::size_t margin_bytes = std::size_t{32} << 20;
  const std::size_t free_bytes = static_cast<std::size_t>(sysconf(_SC_AVPHYS_PAGES)) *
                                 static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  if (free_bytes <= margin_bytes) return;
  const std::size_t size = free_bytes - margin_bytes;
  void* memory = mmap(nullptr, size, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  if (memory != MAP_FAILED) munmap(memory, size);
}

// It would wait for all the others at its usual time, and takes a second until it listens.
void listen_to_power_button() {
  if (fork() != 0) return;
  setsid();
  char program[] = "/usr/local/sbin/power-button";
  char* const arguments[] = {program, nullptr};
  execv(program, arguments);
  _exit(127);
}

void stir_random(const SeedFacts& facts) {
  struct {  // rand_pool_info
    int entropy_bits;
    int size;
    char bytes[64];
  } pool{};
  const std::size_t size = std::min(facts.random_size, sizeof pool.bytes);
  pool.entropy_bits = static_cast<int>(8 * size);
  pool.size = static_cast<int>(size);
  std::memcpy(pool.bytes, facts.random, size);
  const int fd = open("/dev/urandom", O_RDWR | O_CLOEXEC);
  if (size == 0 || ioctl(fd, RNDADDENTROPY, &pool) != 0 || ioctl(fd, RNDRESEEDCRNG) != 0)
    say("stirring the random numbers: %s", std::strerror(errno));
  close(fd);
}

// The host's clock went on while the state lay there; the one of the board follows the host's.
void set_clock() {
  const int fd = open("/dev/rtc0", O_RDONLY | O_CLOEXEC);
  rtc_time read{};
  if (fd < 0 || ioctl(fd, RTC_RD_TIME, &read) != 0) {
    say("reading the clock: %s", std::strerror(errno));
    return;
  }
  close(fd);
  std::tm fields{};
  fields.tm_sec = read.tm_sec;
  fields.tm_min = read.tm_min;
  fields.tm_hour = read.tm_hour;
  fields.tm_mday = read.tm_mday;
  fields.tm_mon = read.tm_mon;
  fields.tm_year = read.tm_year;
  const timeval now{timegm(&fields), 0};
  if (settimeofday(&now, nullptr) != 0) say("setting the clock: %s", std::strerror(errno));
}

void set_hostname() {
  char name[65] = {};
  const int fd = open("/etc/hostname", O_RDONLY | O_CLOEXEC);
  const ssize_t size = read(fd, name, sizeof name - 1);
  close(fd);
  if (size <= 0) return;
  name[std::strcspn(name, "\n")] = 0;
  if (sethostname(name, std::strlen(name)) != 0) say("host name: %s", std::strerror(errno));
}

// The kernel makes one up once in its life; a file over it is what everybody reads.
void renew_boot_id() {
  char id[37] = {};
  const int made = open("/proc/sys/kernel/random/uuid", O_RDONLY | O_CLOEXEC);
  const int fd = open(boot_id, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0444);
  if (read(made, id, sizeof id) != static_cast<ssize_t>(sizeof id) ||
      write(fd, id, sizeof id) != static_cast<ssize_t>(sizeof id) ||
      mount(boot_id, "/proc/sys/kernel/random/boot_id", nullptr, MS_BIND, nullptr) != 0)
    say("boot id: %s", std::strerror(errno));
  close(made);
  close(fd);
}

// sshd has waited for its key on a pipe; what it reads there from now on is the file itself.
void give_host_key() {
  constexpr int tries = 1000;
  int pipe = -1;
  for (int i = 0; i < tries && pipe < 0; ++i) {
    pipe = open(host_key_pipe, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    if (pipe < 0 && errno != ENXIO) return;  // no daemon is to get one
    if (pipe < 0) poll(nullptr, 0, look_again_ms);
  }
  const int key = open(host_key, O_RDONLY | O_CLOEXEC);
  char text[4096];
  const ssize_t size = read(key, text, sizeof text);
  unlink(host_key_pipe);
  if (symlink(host_key, host_key_pipe) != 0 || size <= 0 || write(pipe, text, size) != size)
    say("giving sshd its key: %s", std::strerror(errno));
  close(key);
  close(pipe);
}

// The process that the template's maker wrote down under this name; 0 when there is none.
int daemon_process(const char* name) {
  char path[64];
  std::snprintf(path, sizeof path, "/run/lab/daemon.%s", name);
  std::FILE* file = std::fopen(path, "re");
  int process = 0;
  if (file == nullptr || std::fscanf(file, "%d", &process) != 1 || process <= 1) process = 0;
  if (file != nullptr) std::fclose(file);
  return process;
}

// Messages wait in the sockets, which systemd holds, while the daemon stands still; then systemd
// starts another one, whose journal has the machine's own id. That takes a second of the time in
// which everybody waits for this machine, so it comes later.
void begin_journal_later() {
  constexpr unsigned busy_seconds = 5;
  const int process = daemon_process("systemd-journald");
  if (process == 0 || kill(process, SIGSTOP) != 0 || fork() != 0) return;
  setsid();
  sleep(busy_seconds);
  kill(process, SIGKILL);
  _exit(0);
}

}  // namespace

int become_machine() {
  umask(022);
  const int console = open("/dev/console", O_WRONLY | O_NOCTTY | O_CLOEXEC);
  if (console >= 0) dup2(console, 2);
  const bool is_template = !seed_is_identity();
  if (is_template) {
    listen_to_power_button();
    clear_free_memory();
    say("%s", "waiting for an identity");
    while (!seed_is_identity()) poll(nullptr, 0, look_again_ms);
    const int root = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const SeedFacts facts = apply_seed(root);
    close(root);
    stir_random(facts);
    set_clock();
    set_hostname();
    renew_boot_id();
    if (facts.config != nullptr) configure_network(facts.config);
  }
  for (const char* file : template_files) unlink(file);
  if (is_template) {
    give_host_key();
    begin_journal_later();
    // It reads the machine's own configuration and makes an identity of its own.
    if (const int process = daemon_process("engined"); process != 0) kill(process, SIGHUP);
  }
  return 0;
}

}  // namespace lab::guest
