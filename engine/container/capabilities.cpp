#include <cctype>
#include <charconv>

#include "base/file.hpp"
#include "engine/container/spec.hpp"
#include "engine/util/json.hpp"

namespace lab::engine::container {

namespace {

// In the kernel's order: the index is the capability's number.
constexpr std::string_view all_capabilities[] = {"CAP_CHOWN",
                                                 "CAP_DAC_OVERRIDE",
                                                 "CAP_DAC_READ_SEARCH",
                                                 "CAP_FOWNER",
                                                 "CAP_FSETID",
                                                 "CAP_KILL",
                                                 "CAP_SETGID",
                                                 "CAP_SETUID",
                                                 "CAP_SETPCAP",
                                                 "CAP_LINUX_IMMUTABLE",
                                                 "CAP_NET_BIND_SERVICE",
                                                 "CAP_NET_BROADCAST",
                                                 "CAP_NET_ADMIN",
                                                 "CAP_NET_RAW",
                                                 "CAP_IPC_LOCK",
                                                 "CAP_IPC_OWNER",
                                                 "CAP_SYS_MODULE",
                                                 "CAP_SYS_RAWIO",
                                                 "CAP_SYS_CHROOT",
                                                 "CAP_SYS_PTRACE",
                                                 "CAP_SYS_PACCT",
                                                 "CAP_SYS_ADMIN",
                                                 "CAP_SYS_BOOT",
                                                 "CAP_SYS_NICE",
                                                 "CAP_SYS_RESOURCE",
                                                 "CAP_SYS_TIME",
                                                 "CAP_SYS_TTY_CONFIG",
                                                 "CAP_MKNOD",
                                                 "CAP_LEASE",
                                                 "CAP_AUDIT_WRITE",
                                                 "CAP_AUDIT_CONTROL",
                                                 "CAP_SETFCAP",
                                                 "CAP_MAC_OVERRIDE",
                                                 "CAP_MAC_ADMIN",
                                                 "CAP_SYSLOG",
                                                 "CAP_WAKE_ALARM",
                                                 "CAP_BLOCK_SUSPEND",
                                                 "CAP_AUDIT_READ",
                                                 "CAP_PERFMON",
                                                 "CAP_BPF",
                                                 "CAP_CHECKPOINT_RESTORE"};

constexpr std::string_view default_capabilities[] = {
    "CAP_CHOWN",   "CAP_DAC_OVERRIDE", "CAP_FSETID",           "CAP_FOWNER",
    "CAP_MKNOD",   "CAP_NET_RAW",      "CAP_SETGID",           "CAP_SETUID",
    "CAP_SETFCAP", "CAP_SETPCAP",      "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT",
    "CAP_KILL",    "CAP_AUDIT_WRITE"};

Result<std::vector<std::string>> normalized(const boost::json::object& host_config,
                                            std::string_view key) {
  std::vector<std::string> names;
  for (const std::string& given : texts_of(host_config, key)) {
    std::string name;
    for (char c : given) name += static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    if (name != "ALL" && !name.starts_with("CAP_")) name.insert(0, "CAP_");
    bool known = name == "ALL" ||
                 std::find(std::begin(all_capabilities), std::end(all_capabilities), name) !=
                     std::end(all_capabilities);
    if (!known)
      return make_error(Code::invalid_argument, "invalid {}: unknown capability: \"{}\"", key,
                        name);
    names.push_back(std::move(name));
  }
  return names;
}

// All that the engine itself may hand on: in a container or a user namespace it may lack some.
std::set<std::string> every_capability() {
  std::uint64_t own = ~std::uint64_t{0};
  if (Result<std::string> status = read_file("/proc/self/status", 1 << 16)) {
    constexpr std::string_view key = "CapBnd:\t";
    if (std::size_t at = status->find(key); at != std::string::npos) {
      const char* digits = status->data() + at + key.size();
      std::from_chars(digits, digits + 16, own, 16);
    }
  }
  std::set<std::string> names;
  for (std::size_t i = 0; i < std::size(all_capabilities); ++i) {
    if ((own >> i & 1) != 0) names.emplace(all_capabilities[i]);
  }
  return names;
}

bool contains(const std::vector<std::string>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

}  // namespace

Result<std::set<std::string>> capabilities_of(const boost::json::object& host_config) {
  LAB_TRY(std::vector<std::string> added, normalized(host_config, "CapAdd"));
  LAB_TRY(std::vector<std::string> dropped, normalized(host_config, "CapDrop"));
  std::set<std::string> capabilities;
  if (flag_of(host_config, "Privileged")) return every_capability();
  if (contains(added, "ALL")) {
    capabilities = every_capability();
  } else if (!contains(dropped, "ALL")) {
    capabilities.insert(std::begin(default_capabilities), std::end(default_capabilities));
  }
  for (const std::string& name : dropped) capabilities.erase(name);
  for (const std::string& name : added) {
    if (name != "ALL") capabilities.insert(name);
  }
  return capabilities;
}

}  // namespace lab::engine::container
