#include "engine/container/config.hpp"

#include <signal.h>

#include <boost/json/parse.hpp>
#include <cctype>
#include <charconv>

#include "engine/container/health_check.hpp"
#include "engine/container/log_rotation.hpp"
#include "engine/util/json.hpp"

namespace lab::engine::container {

namespace json = boost::json;

namespace {

// Docker's order and defaults. A default of null takes any kind of value; members listed in
// *_omitted_when_empty are absent instead of empty.
constexpr std::string_view config_template = R"({
  "Hostname": "", "Domainname": "", "User": "", "AttachStdin": false, "AttachStdout": false,
  "AttachStderr": false, "ExposedPorts": null, "Tty": false, "OpenStdin": false,
  "StdinOnce": false, "Env": null, "Cmd": null, "Healthcheck": null, "ArgsEscaped": false,
  "Image": "", "Volumes": null, "WorkingDir": "", "Entrypoint": null, "NetworkDisabled": false,
  "MacAddress": "", "OnBuild": null, "Labels": {}, "StopSignal": "", "StopTimeout": null,
  "Shell": null})";
constexpr std::string_view config_omitted_when_empty[] = {
    "ExposedPorts", "Healthcheck", "ArgsEscaped", "NetworkDisabled",
    "MacAddress",   "StopSignal",  "StopTimeout", "Shell"};

constexpr std::string_view host_config_template = R"({
  "Binds": null, "ContainerIDFile": "", "LogConfig": {"Type": "json-file", "Config": {}},
  "NetworkMode": "default", "PortBindings": null,
  "RestartPolicy": {"Name": "", "MaximumRetryCount": 0}, "AutoRemove": false, "VolumeDriver": "",
  "VolumesFrom": null, "CapAdd": null, "CapDrop": null, "CgroupnsMode": "", "Dns": null,
  "DnsOptions": null, "DnsSearch": null, "ExtraHosts": null, "GroupAdd": null, "IpcMode": "private",
  "Cgroup": "", "Links": null, "OomScoreAdj": 0, "PidMode": "", "Privileged": false,
  "PublishAllPorts": false, "ReadonlyRootfs": false, "SecurityOpt": null, "StorageOpt": null,
  "Tmpfs": null, "UTSMode": "", "UsernsMode": "", "ShmSize": 67108864, "Sysctls": null,
  "Runtime": "crun", "ConsoleSize": [0, 0], "Isolation": "", "CpuShares": 0, "Memory": 0,
  "NanoCpus": 0, "CgroupParent": "", "BlkioWeight": 0, "BlkioWeightDevice": null,
  "BlkioDeviceReadBps": null, "BlkioDeviceWriteBps": null, "BlkioDeviceReadIOps": null,
  "BlkioDeviceWriteIOps": null, "CpuPeriod": 0, "CpuQuota": 0, "CpuRealtimePeriod": 0,
  "CpuRealtimeRuntime": 0, "CpusetCpus": "", "CpusetMems": "", "Devices": null,
  "DeviceCgroupRules": null, "DeviceRequests": null, "KernelMemory": 0, "KernelMemoryTCP": 0,
  "MemoryReservation": 0, "MemorySwap": 0, "MemorySwappiness": null, "OomKillDisable": false,
  "PidsLimit": null, "Ulimits": null, "CpuCount": 0, "CpuPercent": 0, "IOMaximumIOps": 0,
  "IOMaximumBandwidth": 0, "Mounts": null, "Init": null,
  "MaskedPaths": ["/proc/asound", "/proc/acpi", "/proc/kcore", "/proc/keys",
    "/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug",
    "/proc/scsi", "/sys/firmware"],
  "ReadonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]})";
constexpr std::string_view host_config_omitted_when_empty[] = {"StorageOpt", "Tmpfs", "Sysctls",
                                                               "Mounts", "Init"};

bool same_name(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](unsigned char x, unsigned char y) {
    return std::tolower(x) == std::tolower(y);
  });
}

const json::value* find_without_case(const json::object& object, std::string_view name) {
  if (const json::value* exact = object.if_contains(name)) return exact;
  for (const auto& member : object) {
    if (same_name(member.key(), name)) return &member.value();
  }
  return nullptr;
}

std::string_view kind_name(const json::value& value) {
  if (value.is_string()) return "string";
  if (value.is_bool()) return "bool";
  if (value.is_number()) return "number";
  return value.is_array() ? "array" : "object";
}

bool fits(const json::value& default_value, const json::value& given) {
  if (default_value.is_null()) return true;
  if (default_value.is_number()) return given.is_number();
  return default_value.kind() == given.kind();
}

bool is_empty(const json::value& value) {
  if (value.is_string()) return value.get_string().empty();
  if (value.is_bool()) return !value.get_bool();
  if (value.is_array()) return value.get_array().empty();
  if (value.is_object()) return value.get_object().empty();
  return value.is_null();
}

template <std::size_t Size>
Result<json::object> complete(std::string_view text, const std::string_view (&omitted)[Size],
                              const json::object& given) {
  json::object defaults = json::parse(text).as_object();
  json::object complete;
  for (auto& member : defaults) {
    const json::value* value = find_without_case(given, member.key());
    bool use = value != nullptr && !value->is_null();
    if (use && !fits(member.value(), *value)) {
      return make_error(Code::invalid_argument,
                        "json: cannot unmarshal {} into Go struct field ContainerConfigWrapper.{} "
                        "of type {}",
                        kind_name(*value), std::string_view(member.key()),
                        kind_name(member.value()));
    }
    const json::value& chosen = use ? *value : member.value();
    bool omit = std::find(std::begin(omitted), std::end(omitted), std::string_view(member.key())) !=
                std::end(omitted);
    if (omit && is_empty(chosen)) continue;
    complete[member.key()] = chosen;
  }
  return complete;
}

std::string variable_name(std::string_view variable) {
  return std::string(variable.substr(0, variable.find('=')));
}

void merge_environment(json::object& config, const json::object& image) {
  std::vector<std::string> own = texts_of(config, "Env");
  json::array merged = to_array(own);
  for (const std::string& variable : texts_of(image, "Env")) {
    bool set = std::any_of(own.begin(), own.end(), [&variable](const std::string& other) {
      return variable_name(other) == variable_name(variable);
    });
    if (!set) merged.emplace_back(variable);
  }
  if (!merged.empty()) config["Env"] = std::move(merged);
}

void merge_members(json::object& config, const json::object& image, std::string_view key) {
  const json::object& from = object_of(image, key);
  if (from.empty()) return;
  json::object merged = object_of(config, key);
  for (const auto& member : from) {
    if (!merged.contains(member.key())) merged[member.key()] = member.value();
  }
  config[key] = std::move(merged);
}

// Without a test of its own, the container takes the image's, and from it what it leaves open.
void merge_health_check(json::object& config, const json::object& image) {
  if (image.empty()) return;
  json::object own = object_of(config, "Healthcheck");
  if (!array_of(own, "Test").empty()) return;
  for (const auto& member : image) {
    const json::value* given = own.if_contains(member.key());
    if (given == nullptr || is_empty(*given) || (given->is_number() && *given == 0))
      own[member.key()] = member.value();
  }
  config["Healthcheck"] = std::move(own);
}

// Go's "omitempty": documents do not show them.
void drop_empty_members(json::object& object) {
  for (auto at = object.begin(); at != object.end();) {
    const bool zero = at->value().is_number() && at->value() == 0;
    const bool gone = at->value().is_object() ? false : zero || is_empty(at->value());
    at = gone ? object.erase(at) : at + 1;
  }
}

// A shell-form command may come as one string.
void to_list(json::object& config, std::string_view key) {
  json::value* value = config.if_contains(key);
  if (value != nullptr && value->is_string()) *value = json::array{value->get_string()};
}

// What a request says of namespaces and security, in dockerd's words and with its codes.
Result<void> check_modes(const json::object& config, const json::object& host_config) {
  const std::string isolation = text_of(host_config, "Isolation");
  if (!isolation.empty() && isolation != "default") {
    return make_error(Code::internal, "Invalid isolation: \"{}\" - linux only supports 'default'",
                      isolation);
  }
  if (integer_of(host_config, "ShmSize") < 0)
    return make_error(Code::invalid_argument, "SHM size can not be less than 0");
  const std::string cgroups = text_of(host_config, "CgroupnsMode");
  if (!cgroups.empty() && cgroups != "host" && cgroups != "private")
    return make_error(Code::invalid_argument, "invalid cgroup namespace mode: {}", cgroups);
  const std::int64_t score = integer_of(host_config, "OomScoreAdj");
  if (score < -1000 || score > 1000) {
    return make_error(Code::invalid_argument,
                      "Invalid value {}, range for oom score adj is [-1000, 1000]", score);
  }
  if (text_of(host_config, "UTSMode") == "host" && !text_of(config, "Hostname").empty())
    return make_error(Code::invalid_argument, "conflicting options: hostname and the UTS mode");
  for (const auto& option : object_of(host_config, "StorageOpt")) {
    if (option.key() != "size")
      return make_error(Code::internal, "Unknown option {}", std::string_view(option.key()));
    return make_error(Code::internal,
                      "--storage-opt is supported only for overlay over xfs with 'pquota' mount "
                      "option");
  }
  constexpr std::string_view known[] = {"label", "apparmor", "seccomp", "no-new-privileges"};
  for (const std::string& option : texts_of(host_config, "SecurityOpt")) {
    const std::string name = option.substr(0, option.find_first_of("=:"));
    const bool valued = name.size() != option.size();
    if (name == "no-new-privileges" || (name == "disable" && !valued)) continue;
    if (!valued) return make_error(Code::internal, "invalid --security-opt 1: \"{}\"", option);
    if (std::find(std::begin(known), std::end(known), name) == std::end(known))
      return make_error(Code::internal, "invalid --security-opt 2: \"{}\"", option);
  }
  return {};
}

// Names of Linux signals without "SIG", by number from 1.
constexpr std::string_view signal_names[] = {
    "HUP",  "INT",  "QUIT", "ILL",    "TRAP",   "ABRT",  "BUS",  "FPE",  "KILL", "USR1", "SEGV",
    "USR2", "PIPE", "ALRM", "TERM",   "STKFLT", "CHLD",  "CONT", "STOP", "TSTP", "TTIN", "TTOU",
    "URG",  "XCPU", "XFSZ", "VTALRM", "PROF",   "WINCH", "IO",   "PWR",  "SYS"};

}  // namespace

bool has_config(const json::object& body) {
  const json::object members = json::parse(config_template).as_object();
  return std::any_of(members.begin(), members.end(), [&body](const auto& member) {
    return find_without_case(body, member.key()) != nullptr;
  });
}

Result<json::object> complete_config(const json::object& given) {
  LAB_TRY(json::object config, complete(config_template, config_omitted_when_empty, given));
  to_list(config, "Cmd");
  to_list(config, "Entrypoint");
  if (config.contains("Healthcheck")) drop_empty_members(config.at("Healthcheck").as_object());
  return config;
}

json::object complete_image_config(const json::object& given) {
  auto config = complete_config(given);
  if (config.has_error()) return given;
  const json::value* labels = given.if_contains("Labels");
  if (labels == nullptr || labels->is_null()) (*config)["Labels"] = nullptr;
  return std::move(*config);
}

Result<json::object> complete_host_config(const json::object& given) {
  LAB_TRY(json::object host, complete(host_config_template, host_config_omitted_when_empty, given));
  if (text_of(host, "NetworkMode").empty()) host["NetworkMode"] = "default";
  if (text_of(host, "IpcMode").empty()) host["IpcMode"] = "private";
  if (text_of(host, "Runtime").empty()) host["Runtime"] = "crun";
  if (integer_of(host, "ShmSize") == 0) host["ShmSize"] = 67108864;
  if (const std::int64_t memory = integer_of(host, "Memory");
      memory > 0 && integer_of(host, "MemorySwap") == 0)
    host["MemorySwap"] = memory * 2;
  if (json::value* mounts = host.if_contains("Mounts"); mounts != nullptr && mounts->is_array()) {
    for (json::value& mount : mounts->get_array()) {
      if (mount.is_object()) drop_empty_members(mount.get_object());
    }
  }
  json::object log = object_of(host, "LogConfig");
  if (text_of(log, "Type").empty()) log["Type"] = "json-file";
  json::object log_settings = object_of(log, "Config");
  host["LogConfig"] = json::object{{"Type", log["Type"]}, {"Config", std::move(log_settings)}};
  const json::object& policy = object_of(host, "RestartPolicy");
  host["RestartPolicy"] =
      json::object{{"Name", text_of(policy, "Name")},
                   {"MaximumRetryCount", integer_of(policy, "MaximumRetryCount")}};
  // What stands for "no limit" in a client's form is nothing in the document.
  if (integer_of(host, "MemorySwappiness") == -1) host["MemorySwappiness"] = nullptr;
  if (integer_of(host, "PidsLimit") <= 0) host["PidsLimit"] = nullptr;
  const bool of_host = text_of(host, "IpcMode") == "host" || text_of(host, "PidMode") == "host";
  if (texts_of(host, "SecurityOpt").empty() && (flag_of(host, "Privileged") || of_host))
    host["SecurityOpt"] = json::array{"label=disable"};
  if (flag_of(host, "Privileged")) {
    host["MaskedPaths"] = nullptr;
    host["ReadonlyPaths"] = nullptr;
  }
  return host;
}

Result<void> merge_image_config(json::object& config, const json::object& image) {
  if (text_of(config, "User").empty()) config["User"] = text_of(image, "User");
  if (text_of(config, "WorkingDir").empty()) config["WorkingDir"] = text_of(image, "WorkingDir");
  if (text_of(config, "StopSignal").empty() && !text_of(image, "StopSignal").empty())
    config["StopSignal"] = text_of(image, "StopSignal");
  merge_environment(config, image);
  merge_members(config, image, "ExposedPorts");
  merge_members(config, image, "Labels");
  merge_members(config, image, "Volumes");
  if (object_of(config, "Volumes").empty()) config["Volumes"] = nullptr;
  merge_health_check(config, object_of(image, "Healthcheck"));
  std::vector<std::string> entrypoint = texts_of(config, "Entrypoint");
  if (entrypoint.empty()) {
    if (texts_of(config, "Cmd").empty()) {
      std::vector<std::string> command = texts_of(image, "Cmd");
      if (!command.empty()) config["Cmd"] = to_array(command);
    }
    std::vector<std::string> from_image = texts_of(image, "Entrypoint");
    if (!from_image.empty()) config["Entrypoint"] = to_array(from_image);
  } else if (entrypoint.size() == 1 && entrypoint.front().empty()) {
    config["Entrypoint"] = nullptr;  // `--entrypoint ""` takes the image's away
  }
  if (command_line(config).empty())
    return make_error(Code::invalid_argument, "No command specified");
  return {};
}

std::vector<std::string> command_line(const json::object& config) {
  std::vector<std::string> words = texts_of(config, "Entrypoint");
  for (std::string& word : texts_of(config, "Cmd")) words.push_back(std::move(word));
  return words;
}

Result<void> validate(const json::object& config, const json::object& host_config) {
  std::string folder = text_of(config, "WorkingDir");
  if (!folder.empty() && folder.front() != '/') {
    return make_error(Code::invalid_argument,
                      "the working directory '{}' is invalid, it needs to be an absolute path",
                      folder);
  }
  for (const std::string& variable : texts_of(config, "Env")) {
    if (variable.empty() || variable.front() == '=')
      return make_error(Code::invalid_argument, "invalid environment variable: {}", variable);
  }
  std::string signal = text_of(config, "StopSignal");
  if (!signal.empty()) LAB_CHECK(parse_signal(signal));
  std::string driver = text_of(object_of(host_config, "LogConfig"), "Type");
  if (driver != "json-file" && driver != "none" && driver != "local") {
    return make_error(Code::invalid_argument,
                      "error looking up logging plugin {0}: plugin \"{0}\" not found", driver);
  }
  LAB_CHECK(parse_log_limits(object_of(object_of(host_config, "LogConfig"), "Config")));
  LAB_CHECK(check_modes(config, host_config));
  return validate_health(object_of(config, "Healthcheck"));
}

Result<int> parse_signal(const std::string& text) {
  int number = 0;
  auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (failure == std::errc() && end == text.data() + text.size()) {
    // What no process can be sent is found when it is sent.
    if (number != 0) return number;
    return make_error(Code::invalid_argument, "Invalid signal: {}", text);
  }
  std::string name;
  for (char c : text) name += static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  if (name.starts_with("SIG")) name.erase(0, 3);
  for (std::size_t i = 0; i < std::size(signal_names); ++i) {
    if (signal_names[i] == name) return static_cast<int>(i) + 1;
  }
  if (name == "RTMIN") return SIGRTMIN;
  if (name == "RTMAX") return SIGRTMAX;
  if (name.starts_with("RTMIN+") &&
      std::from_chars(name.data() + 6, name.data() + name.size(), number).ec == std::errc() &&
      SIGRTMIN + number <= SIGRTMAX)
    return SIGRTMIN + number;
  return make_error(Code::invalid_argument, "Invalid signal: {}", text);
}

}  // namespace lab::engine::container
