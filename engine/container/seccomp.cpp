#include "engine/container/seccomp.hpp"

#include <boost/json/array.hpp>
#include <cerrno>
#include <string_view>

#include "engine/util/json.hpp"

namespace lab::engine::container {

namespace json = boost::json;

namespace {

// Separated by white space.
constexpr std::string_view always_allowed = R"(
accept accept4 access adjtimex alarm arch_prctl bind brk capget capset chdir chmod chown chown32
clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime clock_gettime64
clock_nanosleep clock_nanosleep_time64 close close_range connect copy_file_range creat dup dup2
dup3 epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait
epoll_wait_old eventfd eventfd2 execve execveat exit exit_group faccessat faccessat2 fadvise64
fadvise64_64 fallocate fanotify_mark fchdir fchmod fchmodat fchown fchown32 fchownat fcntl
fcntl64 fdatasync fgetxattr flistxattr flock fork fremovexattr fsetxattr fstat fstat64 fstatat64
fstatfs fstatfs64 fsync ftruncate ftruncate64 futex futex_time64 futimesat get_robust_list
get_thread_area getcpu getcwd getdents getdents64 getegid getegid32 geteuid geteuid32 getgid
getgid32 getgroups getgroups32 getitimer getpeername getpgid getpgrp getpid getppid getpriority
getrandom getresgid getresgid32 getresuid getresuid32 getrlimit getrusage getsid getsockname
getsockopt gettid gettimeofday getuid getuid32 getxattr inotify_add_watch inotify_init
inotify_init1 inotify_rm_watch io_cancel io_destroy io_getevents io_pgetevents
io_pgetevents_time64 io_setup io_submit io_uring_enter io_uring_register io_uring_setup ioctl
ioprio_get ioprio_set ipc kill landlock_add_rule landlock_create_ruleset landlock_restrict_self
lchown lchown32 lgetxattr link linkat listen listxattr llistxattr _llseek lremovexattr lseek
lsetxattr lstat lstat64 madvise membarrier memfd_create memfd_secret mincore mkdir mkdirat mknod
mknodat mlock mlock2 mlockall mmap mmap2 modify_ldt mprotect mq_getsetattr mq_notify mq_open
mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 mq_unlink mremap msgctl
msgget msgrcv msgsnd msync munlock munlockall munmap nanosleep newfstatat _newselect open openat
openat2 pause pidfd_open pidfd_send_signal pipe pipe2 pkey_alloc pkey_free pkey_mprotect poll
ppoll ppoll_time64 prctl pread64 preadv preadv2 prlimit64 process_mrelease process_vm_readv
process_vm_writev pselect6 pselect6_time64 ptrace pwrite64 pwritev pwritev2 read readahead
readlink readlinkat readv recv recvfrom recvmmsg recvmmsg_time64 recvmsg remap_file_pages
removexattr rename renameat renameat2 restart_syscall rmdir rseq rt_sigaction rt_sigpending
rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64
rt_tgsigqueueinfo sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr
sched_getparam sched_getscheduler sched_rr_get_interval sched_rr_get_interval_time64
sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield seccomp select
semctl semget semop semtimedop semtimedop_time64 send sendfile sendfile64 sendmmsg sendmsg
sendto set_robust_list set_thread_area set_tid_address setfsgid setfsgid32 setfsuid setfsuid32
setgid setgid32 setgroups setgroups32 setitimer setpgid setpriority setregid setregid32
setresgid setresgid32 setresuid setresuid32 setreuid setreuid32 setrlimit setsid setsockopt
setuid setuid32 setxattr shmat shmctl shmdt shmget shutdown sigaltstack signalfd signalfd4
sigprocmask sigreturn socket socketcall socketpair splice stat stat64 statfs statfs64 statx
symlink symlinkat sync sync_file_range syncfs sysinfo tee tgkill time timer_create timer_delete
timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64 timerfd_create
timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64 times tkill truncate
truncate64 ugetrlimit umask uname unlink unlinkat utime utimensat utimensat_time64 utimes vfork
vmsplice wait4 waitid waitpid write writev)";

struct CapabilityRule {
  std::string_view capability;
  std::string_view names;
};
constexpr CapabilityRule allowed_with[] = {
    {"CAP_DAC_READ_SEARCH", "open_by_handle_at"},
    {"CAP_SYS_ADMIN",
     "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie mount "
     "mount_setattr move_mount name_to_handle_at open_tree perf_event_open quotactl setdomainname "
     "sethostname setns syslog umount umount2 unshare"},
    {"CAP_SYS_BOOT", "reboot"},
    {"CAP_SYS_CHROOT", "chroot"},
    {"CAP_SYS_MODULE", "delete_module finit_module init_module"},
    {"CAP_SYS_NICE", "get_mempolicy mbind set_mempolicy"},
    {"CAP_SYS_PACCT", "acct"},
    {"CAP_SYS_PTRACE", "kcmp pidfd_getfd"},
    {"CAP_SYS_RAWIO", "ioperm iopl"},
    {"CAP_SYS_TIME", "clock_settime clock_settime64 settimeofday stime"},
    {"CAP_SYS_TTY_CONFIG", "vhangup"},
    {"CAP_SYSLOG", "syslog"}};

// CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID and NEWNET.
constexpr std::uint64_t namespace_flags = 0x7E020000;
// What personality() may be asked for: PER_LINUX, PER_LINUX32, UNAME26 and both, and "tell me".
constexpr std::uint64_t personalities[] = {0x0, 0x8, 0x20000, 0x20008, 0xffffffff};

json::array split_names(std::string_view text) {
  json::array names;
  constexpr std::string_view space = " \n";
  for (;;) {
    std::size_t start = text.find_first_not_of(space);
    if (start == std::string_view::npos) return names;
    text.remove_prefix(start);
    std::size_t end = std::min(text.find_first_of(space), text.size());
    names.emplace_back(text.substr(0, end));
    text.remove_prefix(end);
  }
}

json::object allow(json::array names) {
  return json::object{{"names", std::move(names)}, {"action", "SCMP_ACT_ALLOW"}};
}

bool holds_any(const json::object& condition, std::string_view key,
               const std::set<std::string>& have) {
  for (const std::string& wanted : texts_of(condition, key)) {
    if (have.contains(wanted)) return true;
  }
  return false;
}

// Whether a rule's "includes" and "excludes" let it hold here.
bool applies(const json::object& rule, const std::set<std::string>& capabilities) {
  const std::set<std::string> architectures{"amd64", "x86", "x32"};
  const json::object& includes = object_of(rule, "includes");
  const json::object& excludes = object_of(rule, "excludes");
  if (holds_any(excludes, "caps", capabilities) || holds_any(excludes, "arches", architectures))
    return false;
  for (const std::string& wanted : texts_of(includes, "caps")) {
    if (!capabilities.contains(wanted)) return false;
  }
  return array_of(includes, "arches").empty() || holds_any(includes, "arches", architectures);
}

// Docker's "archMap" names the architecture and those that run on it.
json::array architectures_of(const json::object& profile) {
  json::array names;
  for (const json::value& item : array_of(profile, "archMap")) {
    if (!item.is_object() || text_of(item.get_object(), "architecture") != "SCMP_ARCH_X86_64")
      continue;
    names.emplace_back("SCMP_ARCH_X86_64");
    for (const std::string& name : texts_of(item.get_object(), "subArchitectures"))
      names.emplace_back(name);
  }
  return names;
}

}  // namespace

json::object runtime_seccomp_profile(const json::object& profile,
                                     const std::set<std::string>& capabilities) {
  json::array rules;
  for (const json::value& item : array_of(profile, "syscalls")) {
    if (!item.is_object() || !applies(item.get_object(), capabilities)) continue;
    const json::object& given = item.get_object();
    json::array names = array_of(given, "names");
    if (const std::string name = text_of(given, "name"); !name.empty()) names.emplace_back(name);
    json::object rule{{"names", std::move(names)}, {"action", text_of(given, "action")}};
    if (given.contains("errnoRet")) rule["errnoRet"] = given.at("errnoRet");
    if (const json::array& arguments = array_of(given, "args"); !arguments.empty())
      rule["args"] = arguments;
    rules.push_back(std::move(rule));
  }
  json::array architectures = array_of(profile, "architectures");
  if (architectures.empty()) architectures = architectures_of(profile);
  json::object result{{"defaultAction", text_of(profile, "defaultAction")},
                      {"syscalls", std::move(rules)}};
  if (profile.contains("defaultErrnoRet"))
    result["defaultErrnoRet"] = profile.at("defaultErrnoRet");
  if (!architectures.empty()) result["architectures"] = std::move(architectures);
  return result;
}

json::object default_seccomp_profile(const std::set<std::string>& capabilities) {
  json::array rules;
  rules.push_back(allow(split_names(always_allowed)));
  for (std::uint64_t value : personalities) {
    json::object rule = allow({"personality"});
    rule["args"] = json::array{json::object{{"index", 0}, {"value", value}, {"op", "SCMP_CMP_EQ"}}};
    rules.push_back(std::move(rule));
  }
  for (const CapabilityRule& rule : allowed_with) {
    if (capabilities.contains(std::string(rule.capability)))
      rules.push_back(allow(split_names(rule.names)));
  }
  if (!capabilities.contains("CAP_SYS_ADMIN")) {
    json::object clone = allow({"clone"});
    clone["args"] = json::array{json::object{
        {"index", 0}, {"value", namespace_flags}, {"valueTwo", 0}, {"op", "SCMP_CMP_MASKED_EQ"}}};
    rules.push_back(std::move(clone));
    // C libraries fall back to clone(), the flags of which can be checked.
    rules.push_back(json::object{
        {"names", json::array{"clone3"}}, {"action", "SCMP_ACT_ERRNO"}, {"errnoRet", ENOSYS}});
  }
  return json::object{
      {"defaultAction", "SCMP_ACT_ERRNO"},
      {"defaultErrnoRet", EPERM},
      {"architectures", json::array{"SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"}},
      {"syscalls", std::move(rules)}};
}

}  // namespace lab::engine::container
