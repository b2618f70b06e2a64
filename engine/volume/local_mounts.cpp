#include "engine/volume/local_mounts.hpp"

#include <fcntl.h>
#include <netdb.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>

#include "base/log.hpp"
#include "engine/util/json.hpp"

namespace lab::engine::volume {

namespace json = boost::json;

namespace {

struct MountFlag {
  std::string_view name;
  unsigned long set;
  unsigned long clear;
};

// What mount(8) takes as flags; everything else is data for the file system.
constexpr MountFlag flags_known[] = {
    {"defaults", 0, 0},
    {"ro", MS_RDONLY, 0},
    {"rw", 0, MS_RDONLY},
    {"nosuid", MS_NOSUID, 0},
    {"suid", 0, MS_NOSUID},
    {"nodev", MS_NODEV, 0},
    {"dev", 0, MS_NODEV},
    {"noexec", MS_NOEXEC, 0},
    {"exec", 0, MS_NOEXEC},
    {"sync", MS_SYNCHRONOUS, 0},
    {"async", 0, MS_SYNCHRONOUS},
    {"dirsync", MS_DIRSYNC, 0},
    {"mand", MS_MANDLOCK, 0},
    {"nomand", 0, MS_MANDLOCK},
    {"noatime", MS_NOATIME, 0},
    {"atime", 0, MS_NOATIME},
    {"nodiratime", MS_NODIRATIME, 0},
    {"diratime", 0, MS_NODIRATIME},
    {"relatime", MS_RELATIME, 0},
    {"norelatime", 0, MS_RELATIME},
    {"strictatime", MS_STRICTATIME, 0},
    {"nostrictatime", 0, MS_STRICTATIME},
    {"bind", MS_BIND, 0},
    {"rbind", MS_BIND | MS_REC, 0},
    {"private", MS_PRIVATE, 0},
    {"rprivate", MS_PRIVATE | MS_REC, 0},
    {"shared", MS_SHARED, 0},
    {"rshared", MS_SHARED | MS_REC, 0},
    {"slave", MS_SLAVE, 0},
    {"rslave", MS_SLAVE | MS_REC, 0},
    {"unbindable", MS_UNBINDABLE, 0},
    {"runbindable", MS_UNBINDABLE | MS_REC, 0},
};
constexpr unsigned long propagation_flags = MS_PRIVATE | MS_SHARED | MS_SLAVE | MS_UNBINDABLE;

struct ParsedOptions {
  unsigned long flags = 0;
  std::string data;
};

ParsedOptions parse_options(std::string_view text) {
  ParsedOptions parsed;
  while (!text.empty()) {
    std::size_t end = std::min(text.find(','), text.size());
    std::string_view word = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    const auto* known = std::find_if(std::begin(flags_known), std::end(flags_known),
                                     [word](const MountFlag& flag) { return flag.name == word; });
    if (known != std::end(flags_known)) {
      parsed.flags = (parsed.flags & ~known->clear) | known->set;
    } else if (!word.empty()) {
      parsed.data += (parsed.data.empty() ? "" : ",") + std::string(word);
    }
  }
  return parsed;
}

// The kernel takes addresses only: "addr=server" becomes "addr=10.0.0.5".
Result<void> resolve_server(std::string& data) {
  constexpr std::string_view keyword = "addr=";
  std::size_t start = data.starts_with(keyword) ? 0 : data.find(",addr=");
  if (start == std::string::npos) return {};
  start = data.find('=', start) + 1;
  std::size_t end = std::min(data.find(',', start), data.size());
  std::string host = data.substr(start, end - start);
  addrinfo* found = nullptr;
  if (int failure = getaddrinfo(host.c_str(), nullptr, nullptr, &found); failure != 0)
    return make_error(Code::internal, "error resolving passed in network volume address: {}: {}",
                      host, gai_strerror(failure));
  char address[NI_MAXHOST] = {};
  getnameinfo(found->ai_addr, found->ai_addrlen, address, sizeof address, nullptr, 0,
              NI_NUMERICHOST);
  freeaddrinfo(found);
  data.replace(start, end - start, address);
  return {};
}

bool is_mounted(const std::filesystem::path& folder) {
  struct statx info {};
  return statx(AT_FDCWD, folder.c_str(), AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, &info) == 0 &&
         (info.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
}

// Docker's form of what failed.
Error mount_failure(const std::filesystem::path& folder, const MountOptions& options,
                    const ParsedOptions& parsed, int number) {
  std::string reason = std::strerror(number);
  for (char& c : reason) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  std::string flags = parsed.flags != 0 ? fmt::format(", flags: {:#x}", parsed.flags) : "";
  std::string data = parsed.data.empty() ? "" : fmt::format(", data: {}", parsed.data);
  return make_error(Code::internal,
                    "error while mounting volume '{0}': failed to mount local volume: mount "
                    "{1}:{0}{2}{3}: {4}",
                    folder.string(), options.device, flags, data, reason);
}

Result<void> mount_volume(const std::filesystem::path& folder, const MountOptions& options) {
  ParsedOptions parsed = parse_options(options.options);
  if (options.type == "nfs" || options.type == "nfs4" || options.type == "cifs")
    LAB_CHECK(resolve_server(parsed.data));
  unsigned long propagation = parsed.flags & (propagation_flags | MS_REC);
  unsigned long flags = parsed.flags & ~propagation_flags;
  if (mount(options.device.c_str(), folder.c_str(), options.type.c_str(), flags,
            parsed.data.c_str()) != 0)
    return mount_failure(folder, options, parsed, errno);
  bool failed = (propagation & propagation_flags) != 0 &&
                mount("", folder.c_str(), "", propagation, nullptr) != 0;
  // A bind mount is made read-only in a second step.
  constexpr unsigned long read_only_bind = MS_BIND | MS_RDONLY;
  if (!failed && (flags & read_only_bind) == read_only_bind)
    failed = mount("", folder.c_str(), "", flags | MS_REMOUNT, parsed.data.c_str()) != 0;
  if (!failed) return {};
  Error error = mount_failure(folder, options, parsed, errno);
  umount2(folder.c_str(), MNT_DETACH);
  return error;
}

}  // namespace

Result<MountOptions> parse_mount_options(const json::value& options) {
  MountOptions parsed;
  if (!options.is_object() || options.get_object().empty()) return parsed;
  const json::object& given = options.get_object();
  for (const auto& option : given) {
    if (option.key() != "type" && option.key() != "device" && option.key() != "o")
      return make_error(Code::invalid_argument, "invalid option: \"{}\"",
                        std::string_view(option.key()));
  }
  for (const char* needed : {"device", "type"}) {
    if (text_of(given, needed).empty())
      return make_error(Code::invalid_argument, "missing required option: \"{}\"", needed);
  }
  parsed.type = text_of(given, "type");
  parsed.device = text_of(given, "device");
  parsed.options = text_of(given, "o");
  return parsed;
}

Result<void> LocalMounts::acquire(const std::filesystem::path& folder, const MountOptions& options,
                                  const std::string& user) {
  std::scoped_lock lock(mutex_);
  if (!is_mounted(folder)) LAB_CHECK(mount_volume(folder, options));
  users_[folder].insert(user);
  return {};
}

Result<void> LocalMounts::release(const std::filesystem::path& folder, const std::string& user) {
  std::scoped_lock lock(mutex_);
  auto found = users_.find(folder);
  if (found != users_.end()) {
    found->second.erase(user);
    if (!found->second.empty()) return {};
    users_.erase(found);
  }
  if (is_mounted(folder) && umount2(folder.c_str(), 0) != 0)
    return errno_error(errno, fmt::format("unmounting volume {}", folder.string()));
  return {};
}

}  // namespace lab::engine::volume
