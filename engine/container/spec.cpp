#include "engine/container/spec.hpp"

#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <linux/magic.h>

#include "engine/container/seccomp.hpp"
#include "engine/util/json.hpp"

namespace lab::engine::container {

namespace json = boost::json;

namespace {

constexpr const char* default_path =
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

constexpr const char* init_place = "/sbin/docker-init";

bool has_variable(const std::vector<std::string>& environment, std::string_view name) {
  for (const std::string& variable : environment) {
    if (variable.size() > name.size() && variable.starts_with(name) && variable[name.size()] == '=')
      return true;
  }
  return false;
}

json::object capability_sets(const std::set<std::string>& capabilities, bool root) {
  json::array names;
  for (const std::string& name : capabilities) names.emplace_back(name);
  json::object sets{{"bounding", names}};
  // Another user than root has none until it runs a set-uid program.
  json::array effective = root ? names : json::array();
  sets["effective"] = effective;
  sets["permitted"] = effective;
  sets["inheritable"] = json::array();
  return sets;
}

json::array rlimits_of(const json::object& host_config) {
  json::array limits;
  for (const json::value& item : array_of(host_config, "Ulimits")) {
    if (!item.is_object()) continue;
    const json::object& limit = item.get_object();
    std::string name = text_of(limit, "Name");
    for (char& c : name) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    limits.push_back(json::object{{"type", "RLIMIT_" + name},
                                  {"hard", integer_of(limit, "Hard")},
                                  {"soft", integer_of(limit, "Soft")}});
  }
  return limits;
}

bool has_security_option(const json::object& host_config, std::string_view first,
                         std::string_view second) {
  for (const std::string& option : texts_of(host_config, "SecurityOpt")) {
    if (option == first || option == second) return true;
  }
  return false;
}

json::object user_document(const User& user) {
  json::object document{{"uid", user.uid}, {"gid", user.gid}};
  // The main group too: otherwise a file that is closed to the group would be open to its members.
  json::array groups{user.gid};
  for (gid_t group : user.groups) {
    if (group != user.gid) groups.emplace_back(group);
  }
  document["additionalGids"] = std::move(groups);
  return document;
}

// Dockerd's: a default that the container sets stays in its place; a name without a value takes
// the variable away.
std::vector<std::string> environment_of(const Container& container, const User& user,
                                        const std::vector<std::string>& linked, bool terminal) {
  std::vector<std::string> all{default_path, "HOSTNAME=" + text_of(container.config, "Hostname")};
  if (terminal) all.emplace_back("TERM=xterm");
  all.insert(all.end(), linked.begin(), linked.end());
  for (std::string& variable : texts_of(container.config, "Env")) {
    const std::string_view name = std::string_view(variable).substr(0, variable.find('='));
    const auto set = std::find_if(all.begin(), all.end(), [name](const std::string& other) {
      return std::string_view(other).substr(0, other.find('=')) == name;
    });
    if (name.size() == variable.size()) {
      if (set != all.end()) all.erase(set);
    } else if (set != all.end()) {
      *set = std::move(variable);
    } else {
      all.push_back(std::move(variable));
    }
  }
  if (!has_variable(all, "HOME")) all.push_back("HOME=" + (user.home.empty() ? "/" : user.home));
  return all;
}

json::object bind(const std::filesystem::path& from, std::string_view to, json::array options) {
  return json::object{{"destination", to},
                      {"type", "bind"},
                      {"source", from.string()},
                      {"options", std::move(options)}};
}

json::object file_system(std::string_view to, std::string_view type, std::string_view source,
                         json::array options) {
  return json::object{
      {"destination", to}, {"type", type}, {"source", source}, {"options", std::move(options)}};
}

// A mount of the user's takes the place of a default one.
void remove_destination(json::array& mounts, std::string_view destination) {
  for (auto at = mounts.begin(); at != mounts.end(); ++at) {
    if (text_of(at->as_object(), "destination") == destination) {
      mounts.erase(at);
      return;
    }
  }
}

// A mount follows the host's, or the host a mount's, only when the container's root does.
std::string root_propagation(const Container& container) {
  std::string wanted;
  for (const MountPoint& mount : container.mounts) {
    if (mount.propagation == "shared" || mount.propagation == "rshared") return "rshared";
    if (mount.propagation == "slave" || mount.propagation == "rslave") wanted = "rslave";
  }
  return wanted;
}

// Docker's, then those that were given; the last word on something counts.
json::array tmpfs_options(const MountPoint& mount) {
  constexpr std::pair<std::string_view, std::string_view> opposites[] = {
      {"noexec", "exec"}, {"nosuid", "suid"}, {"nodev", "dev"}, {"ro", "rw"}};
  std::vector<std::string_view> options{"noexec", "nosuid", "nodev", mount.writable ? "rw" : "ro"};
  std::string_view given = mount.options;
  while (!given.empty()) {
    const std::string_view option = given.substr(0, given.find(','));
    given.remove_prefix(std::min(option.size() + 1, given.size()));
    if (option.empty()) continue;
    for (const auto& [one, other] : opposites) {
      if (option == one) std::erase(options, other);
      if (option == other) std::erase(options, one);
    }
    options.push_back(option);
  }
  json::array list;
  for (const std::string_view option : options) list.emplace_back(option);
  return list;
}

// After the user's mounts: one on /etc does not hide them, but one in the very place of a file has
// it.
void add_name_files(json::array& mounts, const Container& container, const SpecPaths& paths) {
  const bool read_only_root = flag_of(container.host_config, "ReadonlyRootfs");
  for (const auto& [from, to] :
       {std::pair{paths.resolv_conf, "/etc/resolv.conf"},
        std::pair{paths.hostname, "/etc/hostname"}, std::pair{paths.hosts, "/etc/hosts"}}) {
    const bool taken = std::any_of(container.mounts.begin(), container.mounts.end(),
                                   [place = std::string_view(to)](const MountPoint& mount) {
                                     return mount.destination == place;
                                   });
    if (!from.empty() && !taken)
      mounts.push_back(bind(from, to, {"rbind", "rprivate", read_only_root ? "ro" : "rw"}));
  }
}

json::array mounts_of(const Container& container, const SpecPaths& paths, bool privileged) {
  const char* access = privileged ? "rw" : "ro";
  json::array mounts;
  mounts.push_back(file_system("/proc", "proc", "proc", {"nosuid", "noexec", "nodev"}));
  mounts.push_back(
      file_system("/dev", "tmpfs", "tmpfs", {"nosuid", "strictatime", "mode=755", "size=65536k"}));
  mounts.push_back(
      file_system("/dev/pts", "devpts", "devpts",
                  {"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}));
  mounts.push_back(file_system("/sys", "sysfs", "sysfs", {"nosuid", "noexec", "nodev", access}));
  mounts.push_back(
      file_system("/sys/fs/cgroup", "cgroup", "cgroup", {access, "nosuid", "noexec", "nodev"}));
  if (text_of(container.host_config, "IpcMode") == "host") {
    for (const char* shared : {"/dev/mqueue", "/dev/shm"})
      mounts.push_back(bind(shared, shared, {"rbind", "rprivate", "rw"}));
  } else {
    mounts.push_back(file_system("/dev/mqueue", "mqueue", "mqueue", {"nosuid", "noexec", "nodev"}));
    mounts.push_back(file_system(
        "/dev/shm", "tmpfs", "shm",
        {"nosuid", "noexec", "nodev", "mode=1777",
         fmt::format("size={}", integer_of(container.host_config, "ShmSize", 67108864))}));
  }
  if (!paths.init.empty()) mounts.push_back(bind(paths.init, init_place, {"bind", "ro"}));
  // Parents before what lies below them.
  std::vector<const MountPoint*> ordered;
  for (const MountPoint& mount : container.mounts) ordered.push_back(&mount);
  std::stable_sort(ordered.begin(), ordered.end(), [](const MountPoint* a, const MountPoint* b) {
    return std::count(a->destination.begin(), a->destination.end(), '/') <
           std::count(b->destination.begin(), b->destination.end(), '/');
  });
  for (const MountPoint* mount : ordered) {
    remove_destination(mounts, mount->destination);
    if (mount->type == "tmpfs") {
      json::array options = tmpfs_options(*mount);
      mounts.push_back(file_system(mount->destination, "tmpfs", "tmpfs", std::move(options)));
    } else {
      mounts.push_back(bind(mount->source, mount->destination,
                            {"rbind", mount->propagation.empty() ? "rprivate" : mount->propagation,
                             mount->writable ? "rw" : "ro"}));
    }
  }
  add_name_files(mounts, container, paths);
  return mounts;
}

json::array namespaces_of(const Container& container, const SpecPaths& paths,
                          const HostFeatures& host) {
  const json::object& config = container.host_config;
  json::array namespaces{json::object{{"type", "mount"}}};
  auto add = [&namespaces](const char* type, const std::filesystem::path& path) {
    json::object entry{{"type", type}};
    if (!path.empty()) entry["path"] = path.string();
    namespaces.push_back(std::move(entry));
  };
  if (text_of(config, "UTSMode") != "host") add("uts", {});
  if (text_of(config, "IpcMode") != "host") add("ipc", paths.shared_ipc);
  if (text_of(config, "PidMode") != "host") add("pid", paths.shared_pid);
  if (!paths.network.empty()) add("network", paths.network);
  if (text_of(config, "CgroupnsMode") == "private" && host.cgroup_v2) add("cgroup", {});
  return namespaces;
}

json::array allowed_devices(bool privileged) {
  if (privileged) return {json::object{{"allow", true}, {"access", "rwm"}}};
  json::array rules{json::object{{"allow", false}, {"access", "rwm"}}};
  auto allow = [&rules](const char* type, int major_number, int minor_number, const char* access) {
    json::object rule{{"allow", true}, {"type", type}, {"access", access}};
    if (major_number >= 0) rule["major"] = major_number;
    if (minor_number >= 0) rule["minor"] = minor_number;
    rules.push_back(std::move(rule));
  };
  allow("c", -1, -1, "m");
  allow("b", -1, -1, "m");
  for (int minor_number : {3, 5, 7, 8, 9}) allow("c", 1, minor_number, "rwm");
  allow("c", 5, 0, "rwm");
  allow("c", 5, 1, "rwm");
  allow("c", 5, 2, "rwm");
  allow("c", 136, -1, "rwm");
  return rules;
}

// Adds the requested device node to the container and its cgroup's list.
Result<void> add_device(const json::object& requested, json::array& devices, json::array& rules) {
  std::string source = text_of(requested, "PathOnHost");
  std::string target = text_of(requested, "PathInContainer");
  std::string access = text_of(requested, "CgroupPermissions");
  struct stat info {};
  if (stat(source.c_str(), &info) != 0) {
    return make_error(Code::internal,
                      "error gathering device information while adding custom device \"{}\": no "
                      "such file or directory",
                      source);
  }
  if (!S_ISCHR(info.st_mode) && !S_ISBLK(info.st_mode)) {
    return make_error(Code::internal,
                      "error gathering device information while adding custom device \"{}\": not a "
                      "device node",
                      source);
  }
  const char* type = S_ISCHR(info.st_mode) ? "c" : "b";
  auto major_number = static_cast<std::int64_t>(major(info.st_rdev));
  auto minor_number = static_cast<std::int64_t>(minor(info.st_rdev));
  devices.push_back(json::object{{"path", target.empty() ? source : target},
                                 {"type", type},
                                 {"major", major_number},
                                 {"minor", minor_number},
                                 {"fileMode", info.st_mode & 07777},
                                 {"uid", info.st_uid},
                                 {"gid", info.st_gid}});
  rules.push_back(json::object{{"allow", true},
                               {"type", type},
                               {"major", major_number},
                               {"minor", minor_number},
                               {"access", access.empty() ? "rwm" : access}});
  return {};
}

// A privileged container sees the devices of the host, but for terminals, which are its own.
void add_host_devices(json::array& devices) {
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator("/dev", ignored)) {
    struct stat info {};
    std::string path = entry.path().string();
    if (lstat(path.c_str(), &info) != 0 || path == "/dev/console" || path == "/dev/ptmx") continue;
    if (!S_ISCHR(info.st_mode) && !S_ISBLK(info.st_mode)) continue;
    devices.push_back(json::object{{"path", path},
                                   {"type", S_ISCHR(info.st_mode) ? "c" : "b"},
                                   {"major", major(info.st_rdev)},
                                   {"minor", minor(info.st_rdev)},
                                   {"fileMode", info.st_mode & 07777},
                                   {"uid", info.st_uid},
                                   {"gid", info.st_gid}});
  }
}

void add_memory(const json::object& config, json::object& resources) {
  json::object memory;
  std::int64_t limit = integer_of(config, "Memory");
  if (limit > 0) {
    memory["limit"] = limit;
    std::int64_t swap = integer_of(config, "MemorySwap");
    memory["swap"] = swap == 0 ? limit * 2 : swap;
  }
  if (std::int64_t low = integer_of(config, "MemoryReservation"); low > 0)
    memory["reservation"] = low;
  if (const json::value* swappiness = config.if_contains("MemorySwappiness");
      swappiness != nullptr && swappiness->is_number() &&
      integer_of(config, "MemorySwappiness") >= 0)
    memory["swappiness"] = integer_of(config, "MemorySwappiness");
  if (flag_of(config, "OomKillDisable")) memory["disableOOMKiller"] = true;
  if (!memory.empty()) resources["memory"] = std::move(memory);
}

void add_cpu(const json::object& config, json::object& resources) {
  json::object cpu;
  if (std::int64_t shares = integer_of(config, "CpuShares"); shares > 0) cpu["shares"] = shares;
  std::int64_t period = integer_of(config, "CpuPeriod");
  std::int64_t quota = integer_of(config, "CpuQuota");
  if (std::int64_t nano = integer_of(config, "NanoCpus"); nano > 0) {
    period = 100'000;
    quota = nano * period / 1'000'000'000;
  }
  if (period > 0) cpu["period"] = period;
  if (quota != 0) cpu["quota"] = quota;
  if (std::string cpus = text_of(config, "CpusetCpus"); !cpus.empty()) cpu["cpus"] = cpus;
  if (std::string nodes = text_of(config, "CpusetMems"); !nodes.empty()) cpu["mems"] = nodes;
  if (!cpu.empty()) resources["cpu"] = std::move(cpu);
}

// "8:0" of a device file, for limits that name one.
bool add_device_number(json::object& entry, const std::string& path) {
  struct stat info {};
  if (stat(path.c_str(), &info) != 0 || !S_ISBLK(info.st_mode)) return false;
  entry["major"] = major(info.st_rdev);
  entry["minor"] = minor(info.st_rdev);
  return true;
}

void add_block_io(const json::object& config, json::object& resources) {
  json::object io;
  if (std::int64_t weight = integer_of(config, "BlkioWeight"); weight > 0) io["weight"] = weight;
  constexpr std::tuple<const char*, const char*, const char*> lists[] = {
      {"BlkioWeightDevice", "weightDevice", "Weight"},
      {"BlkioDeviceReadBps", "throttleReadBpsDevice", "Rate"},
      {"BlkioDeviceWriteBps", "throttleWriteBpsDevice", "Rate"},
      {"BlkioDeviceReadIOps", "throttleReadIOPSDevice", "Rate"},
      {"BlkioDeviceWriteIOps", "throttleWriteIOPSDevice", "Rate"}};
  for (const auto& [member, name, value] : lists) {
    json::array entries;
    for (const json::value& item : array_of(config, member)) {
      if (!item.is_object()) continue;
      json::object entry;
      if (!add_device_number(entry, text_of(item.get_object(), "Path"))) continue;
      entry[std::string_view(value) == "Weight" ? "weight" : "rate"] =
          integer_of(item.get_object(), value);
      entries.push_back(std::move(entry));
    }
    if (!entries.empty()) io[name] = std::move(entries);
  }
  if (!io.empty()) resources["blockIO"] = std::move(io);
}

// "c 1:3 rwm", "b 8:* r": a device that the container may make and use.
Result<json::object> device_rule(const std::string& text) {
  char type = 0;
  char numbers[2][16] = {};
  char access[8] = {};
  if (std::sscanf(text.c_str(), "%c %15[0-9*]:%15[0-9*] %7[rwm]", &type, numbers[0], numbers[1],
                  access) != 4 ||
      (type != 'a' && type != 'b' && type != 'c'))
    return make_error(Code::invalid_argument, "invalid device cgroup rule format: '{}'", text);
  json::object rule{{"allow", true}, {"type", std::string(1, type)}, {"access", access}};
  if (numbers[0][0] != '*') rule["major"] = std::atoll(numbers[0]);
  if (numbers[1][0] != '*') rule["minor"] = std::atoll(numbers[1]);
  return rule;
}

// The profile of `--security-opt seccomp=FILE`, which the client sends as text; null: none at all.
Result<json::value> seccomp_profile(const json::object& config,
                                    const std::set<std::string>& capabilities) {
  for (const std::string& option : texts_of(config, "SecurityOpt")) {
    if (!option.starts_with("seccomp=") && !option.starts_with("seccomp:")) continue;
    const std::string given = option.substr(8);
    if (given == "unconfined") return json::value(nullptr);
    Result<json::object> profile = parse_object(given);
    if (!profile) {
      return make_error(Code::invalid_argument, "Decoding seccomp profile failed: {}",
                        profile.error().message);
    }
    return json::value(runtime_seccomp_profile(*profile, capabilities));
  }
  return json::value(default_seccomp_profile(capabilities));
}

Result<json::object> linux_section(const Container& container, const SpecPaths& paths,
                                   const HostFeatures& host,
                                   const std::set<std::string>& capabilities) {
  const json::object& config = container.host_config;
  bool privileged = flag_of(config, "Privileged");
  json::object resources = resource_limits(config);
  json::array rules = allowed_devices(privileged);
  json::array devices;
  if (privileged) add_host_devices(devices);
  for (const json::value& item : array_of(config, "Devices")) {
    if (item.is_object()) LAB_CHECK(add_device(item.get_object(), devices, rules));
  }
  for (const std::string& text : texts_of(config, "DeviceCgroupRules")) {
    LAB_TRY(json::object rule, device_rule(text));
    rules.push_back(std::move(rule));
  }
  resources["devices"] = std::move(rules);
  std::string parent = text_of(config, "CgroupParent");
  if (parent.empty()) parent = "/docker";
  if (parent.front() != '/') parent.insert(0, 1, '/');
  json::object section{{"cgroupsPath", parent + "/" + container.id},
                       {"namespaces", namespaces_of(container, paths, host)},
                       {"resources", std::move(resources)},
                       {"maskedPaths", array_of(config, "MaskedPaths")},
                       {"readonlyPaths", array_of(config, "ReadonlyPaths")}};
  if (!devices.empty()) section["devices"] = std::move(devices);
  json::object sysctls = object_of(config, "Sysctls");
  if (std::string domain = text_of(container.config, "Domainname");
      !domain.empty() && text_of(config, "UTSMode") != "host")
    sysctls["kernel.domainname"] = domain;
  if (!sysctls.empty()) section["sysctl"] = std::move(sysctls);
  if (!privileged && host.seccomp) {
    LAB_TRY(json::value profile, seccomp_profile(config, capabilities));
    if (profile.is_object()) section["seccomp"] = std::move(profile);
  }
  return section;
}

}  // namespace

HostFeatures detect_host_features() {
  HostFeatures features;
  struct statfs info {};
  features.cgroup_v2 = statfs("/sys/fs/cgroup", &info) == 0 && info.f_type == CGROUP2_SUPER_MAGIC;
  features.seccomp = access("/proc/sys/kernel/seccomp/actions_avail", R_OK) == 0;
  features.cpus = static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN));
  return features;
}

json::object resource_limits(const json::object& host_config) {
  json::object resources;
  add_memory(host_config, resources);
  add_cpu(host_config, resources);
  add_block_io(host_config, resources);
  const json::value* limit = host_config.if_contains("PidsLimit");
  if (limit != nullptr && limit->is_number())
    resources["pids"] = json::object{{"limit", integer_of(host_config, "PidsLimit")}};
  return resources;
}

Result<json::object> make_spec(const Container& container, const SpecPaths& paths, const User& user,
                               const HostFeatures& host) {
  const json::object& config = container.host_config;
  bool privileged = flag_of(config, "Privileged");
  LAB_TRY(std::set<std::string> capabilities, capabilities_of(config));
  std::vector<std::string> words;
  if (!paths.init.empty()) words = {init_place, "--"};
  words.push_back(container.path);
  words.insert(words.end(), container.arguments.begin(), container.arguments.end());
  std::string folder = text_of(container.config, "WorkingDir");
  json::object process{
      {"terminal", container.has_terminal()},
      {"user", user_document(user)},
      {"args", to_array(words)},
      {"env",
       to_array(environment_of(container, user, paths.link_environment, container.has_terminal()))},
      {"cwd", folder.empty() ? "/" : folder},
      {"capabilities", capability_sets(capabilities, user.uid == 0)},
      {"rlimits", rlimits_of(config)},
      {"oomScoreAdj", integer_of(config, "OomScoreAdj")},
      {"noNewPrivileges",
       has_security_option(config, "no-new-privileges", "no-new-privileges:true")}};
  LAB_TRY(json::object section, linux_section(container, paths, host, capabilities));
  if (std::string propagation = root_propagation(container); !propagation.empty())
    section["rootfsPropagation"] = propagation;
  json::object spec{{"ociVersion", "1.0.2"},
                    {"process", std::move(process)},
                    {"root", json::object{{"path", paths.rootfs.string()},
                                          {"readonly", flag_of(config, "ReadonlyRootfs")}}},
                    {"mounts", mounts_of(container, paths, privileged)},
                    {"linux", std::move(section)}};
  if (text_of(config, "UTSMode") != "host")
    spec["hostname"] = text_of(container.config, "Hostname");
  return spec;
}

json::object make_process(const Container& container, const ExecOptions& options,
                          const User& user) {
  Result<std::set<std::string>> capabilities = capabilities_of(
      options.privileged ? json::object{{"Privileged", true}} : container.host_config);
  std::vector<std::string> environment =
      environment_of(container, user, options.link_environment, options.terminal);
  environment.insert(environment.end(), options.environment.begin(), options.environment.end());
  std::string folder = options.working_directory;
  if (folder.empty()) folder = text_of(container.config, "WorkingDir");
  return json::object{
      {"terminal", options.terminal},
      {"user", user_document(user)},
      {"args", to_array(options.command)},
      {"env", to_array(environment)},
      {"cwd", folder.empty() ? "/" : folder},
      {"rlimits", rlimits_of(container.host_config)},
      {"capabilities",
       capability_sets(capabilities ? *capabilities : std::set<std::string>(), user.uid == 0)},
      {"noNewPrivileges",
       has_security_option(container.host_config, "no-new-privileges", "no-new-privileges:true")}};
}

}  // namespace lab::engine::container
