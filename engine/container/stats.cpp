#include "engine/container/stats.hpp"

#include <sys/sysinfo.h>
#include <unistd.h>

#include <boost/json/array.hpp>
#include <charconv>
#include <vector>

#include "base/file.hpp"
#include "engine/util/json.hpp"

namespace lab::engine::container {

namespace json = boost::json;

namespace {

constexpr std::size_t file_bytes_max = std::size_t{1} << 20;
constexpr std::int64_t nanoseconds_per_second = 1'000'000'000;

std::string read_text(const std::filesystem::path& path) {
  Result<std::string> text = read_file(path, file_bytes_max);
  return text ? *text : std::string();
}

std::vector<std::string_view> words_of(std::string_view text, std::string_view separators = " \t") {
  std::vector<std::string_view> words;
  for (;;) {
    const std::size_t start = text.find_first_not_of(separators);
    if (start == std::string_view::npos) return words;
    text.remove_prefix(start);
    const std::size_t end = std::min(text.find_first_of(separators), text.size());
    words.push_back(text.substr(0, end));
    text.remove_prefix(end);
  }
}

// 0 for "max" and other words.
std::uint64_t number_of(std::string_view text) {
  std::uint64_t number = 0;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

std::uint64_t read_number(const std::filesystem::path& path) { return number_of(read_text(path)); }

// Lines "NAME NUMBER", in the order of their names as Go writes maps.
std::map<std::string, std::uint64_t> read_table(const std::filesystem::path& path) {
  std::map<std::string, std::uint64_t> table;
  const std::string text = read_text(path);
  for (std::string_view line : words_of(text, "\n")) {
    const auto words = words_of(line);
    if (words.size() == 2) table[std::string(words[0])] = number_of(words[1]);
  }
  return table;
}

std::filesystem::path folder_of(const StatsSource& source, std::string_view controller) {
  const auto found = source.cgroups.find(source.cgroup_v2 ? std::string_view() : controller);
  return found == source.cgroups.end() ? std::filesystem::path("/nonexistent") : found->second;
}

// All time that the host's processors have spent, idle or not; guests' time is in user's already.
std::int64_t host_cpu_nanoseconds(std::string_view stat) {
  const auto fields = words_of(stat.substr(0, stat.find('\n')));
  std::uint64_t ticks = 0;
  for (std::size_t i = 1; i < fields.size() && i <= 7; ++i) ticks += number_of(fields[i]);
  const auto per_second = static_cast<std::uint64_t>(sysconf(_SC_CLK_TCK));
  return static_cast<std::int64_t>(ticks * (nanoseconds_per_second / per_second));
}

json::object zero_cpu() {
  return json::object{
      {"cpu_usage",
       json::object{{"total_usage", 0}, {"usage_in_kernelmode", 0}, {"usage_in_usermode", 0}}},
      {"throttling_data",
       json::object{{"periods", 0}, {"throttled_periods", 0}, {"throttled_time", 0}}}};
}

json::object cpu_usage_v1(const StatsSource& source) {
  const auto accounting = folder_of(source, "cpuacct");
  json::array each;
  const std::string text = read_text(accounting / "cpuacct.usage_percpu");
  for (std::string_view one : words_of(text, " \n")) each.emplace_back(number_of(one));
  const auto times = read_table(accounting / "cpuacct.stat");
  const auto per_tick = static_cast<std::uint64_t>(nanoseconds_per_second / sysconf(_SC_CLK_TCK));
  auto time = [&](const char* name) {
    const auto found = times.find(name);
    return found == times.end() ? 0 : found->second * per_tick;
  };
  return json::object{{"total_usage", read_number(accounting / "cpuacct.usage")},
                      {"percpu_usage", std::move(each)},
                      {"usage_in_kernelmode", time("system")},
                      {"usage_in_usermode", time("user")}};
}

json::object cpu_stats(const StatsSource& source) {
  auto table = read_table(folder_of(source, "cpu") / "cpu.stat");
  json::object usage;
  std::uint64_t throttled = table["throttled_time"];
  if (source.cgroup_v2) {
    usage = json::object{{"total_usage", table["usage_usec"] * 1000},
                         {"usage_in_kernelmode", table["system_usec"] * 1000},
                         {"usage_in_usermode", table["user_usec"] * 1000}};
    throttled = table["throttled_usec"] * 1000;
  } else {
    usage = cpu_usage_v1(source);
  }
  return json::object{{"cpu_usage", std::move(usage)},
                      {"system_cpu_usage", host_cpu_nanoseconds(source.host_cpu)},
                      {"online_cpus", source.cpus},
                      {"throttling_data", json::object{{"periods", table["nr_periods"]},
                                                       {"throttled_periods", table["nr_throttled"]},
                                                       {"throttled_time", throttled}}}};
}

json::object memory_stats(const StatsSource& source) {
  const auto folder = folder_of(source, "memory");
  const bool v2 = source.cgroup_v2;
  json::object stats;
  for (const auto& [name, value] : read_table(folder / "memory.stat")) stats[name] = value;
  json::object memory{
      {"usage", read_number(folder / (v2 ? "memory.current" : "memory.usage_in_bytes"))}};
  if (!v2) memory["max_usage"] = read_number(folder / "memory.max_usage_in_bytes");
  memory["stats"] = std::move(stats);
  if (const std::uint64_t failures = v2 ? 0 : read_number(folder / "memory.failcnt"); failures > 0)
    memory["failcnt"] = failures;
  const std::uint64_t limit = read_number(folder / (v2 ? "memory.max" : "memory.limit_in_bytes"));
  const auto host = static_cast<std::uint64_t>(source.host_memory_bytes);
  memory["limit"] = limit == 0 || limit > host ? host : limit;
  return memory;
}

json::object io_entry(std::string_view device, std::string_view operation, std::uint64_t value) {
  const std::size_t colon = std::min(device.find(':'), device.size() - 1);
  return json::object{{"major", number_of(device)},
                      {"minor", number_of(device.substr(colon + 1))},
                      {"op", operation},
                      {"value", value}};
}

// v1: lines "8:0 Read 4096"; the sum at the end has no device.
json::array io_table_v1(const std::filesystem::path& path) {
  json::array entries;
  const std::string text = read_text(path);
  for (std::string_view line : words_of(text, "\n")) {
    const auto words = words_of(line);
    if (words.size() == 3) entries.push_back(io_entry(words[0], words[1], number_of(words[2])));
  }
  return entries;
}

// v2: lines "8:0 rbytes=4096 wbytes=0 rios=1 ...".
json::array io_bytes_v2(const std::filesystem::path& path) {
  json::array entries;
  const std::string text = read_text(path);
  for (std::string_view line : words_of(text, "\n")) {
    const auto words = words_of(line);
    for (std::string_view word : words) {
      for (const auto& [key, name] :
           {std::pair{"rbytes=", "read"}, std::pair{"wbytes=", "write"}}) {
        if (word.starts_with(key))
          entries.push_back(io_entry(words[0], name, number_of(word.substr(7))));
      }
    }
  }
  return entries;
}

constexpr const char* io_members[] = {"io_service_bytes_recursive", "io_serviced_recursive",
                                      "io_queue_recursive",         "io_service_time_recursive",
                                      "io_wait_time_recursive",     "io_merged_recursive",
                                      "io_time_recursive",          "sectors_recursive"};

json::object io_stats(const StatsSource& source) {
  json::object stats;
  for (const char* name : io_members)
    stats[name] = source.cgroup_v2 ? json::value(nullptr) : json::value(json::array());
  const auto folder = folder_of(source, "blkio");
  if (source.cgroup_v2) {
    stats["io_service_bytes_recursive"] = io_bytes_v2(folder / "io.stat");
  } else {
    stats["io_service_bytes_recursive"] =
        io_table_v1(folder / "blkio.throttle.io_service_bytes_recursive");
    stats["io_serviced_recursive"] = io_table_v1(folder / "blkio.throttle.io_serviced_recursive");
  }
  return stats;
}

// "eth0: RX-BYTES PACKETS ERRORS DROPPED ... TX-BYTES PACKETS ERRORS DROPPED ..."
json::object network_stats(std::string_view text) {
  json::object networks;
  for (std::string_view line : words_of(text, "\n")) {
    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos) continue;
    const auto name = words_of(line.substr(0, colon));
    const auto fields = words_of(line.substr(colon + 1));
    if (name.size() != 1 || name[0] == "lo" || fields.size() < 12) continue;
    json::object device;
    constexpr std::pair<const char*, std::size_t> members[] = {
        {"rx_bytes", 0}, {"rx_packets", 1}, {"rx_errors", 2},  {"rx_dropped", 3},
        {"tx_bytes", 8}, {"tx_packets", 9}, {"tx_errors", 10}, {"tx_dropped", 11}};
    for (const auto& [member, field] : members) device[member] = number_of(fields[field]);
    networks[name[0]] = std::move(device);
  }
  return networks;
}

}  // namespace

CgroupFolders cgroup_folders(std::string_view text, const std::filesystem::path& mount) {
  CgroupFolders folders;
  for (std::string_view line : words_of(text, "\n")) {
    const std::size_t first = line.find(':');
    const std::size_t second = line.find(':', first + 1);
    if (first == std::string_view::npos || second == std::string_view::npos) continue;
    const std::string_view controllers = line.substr(first + 1, second - first - 1);
    const std::string_view path = line.substr(second + 1);
    if (controllers.empty()) folders[""] = mount / path.substr(1);
    for (std::string_view controller : words_of(controllers, ","))
      folders[std::string(controller)] = mount / controller / path.substr(1);
  }
  return folders;
}

StatsSource stats_source(pid_t pid, bool cgroup_v2, bool networks, int cpus) {
  StatsSource source;
  source.cgroup_v2 = cgroup_v2;
  source.cgroups = cgroup_folders(read_text(fmt::format("/proc/{}/cgroup", pid)), "/sys/fs/cgroup");
  if (networks) source.network_devices = read_text(fmt::format("/proc/{}/net/dev", pid));
  source.host_cpu = read_text("/proc/stat");
  struct sysinfo info {};
  if (sysinfo(&info) == 0)
    source.host_memory_bytes = static_cast<std::int64_t>(info.totalram * info.mem_unit);
  source.cpus = cpus;
  return source;
}

json::object stats_document(const StatsSource& source, WallTime now, const json::object& previous) {
  json::object pids{{"current", read_number(folder_of(source, "pids") / "pids.current")}};
  if (const std::uint64_t limit = read_number(folder_of(source, "pids") / "pids.max"); limit > 0)
    pids["limit"] = limit;
  const json::object& before = object_of(previous, "cpu_stats");
  const std::string read_before = text_of(previous, "read");
  json::object document{{"read", format_rfc3339(now)},
                        {"preread", read_before.empty() ? zero_rfc3339 : read_before},
                        {"pids_stats", std::move(pids)},
                        {"blkio_stats", io_stats(source)},
                        {"num_procs", 0},
                        {"storage_stats", json::object()},
                        {"cpu_stats", cpu_stats(source)},
                        {"precpu_stats", before.empty() ? zero_cpu() : before},
                        {"memory_stats", memory_stats(source)}};
  if (json::object networks = network_stats(source.network_devices); !networks.empty())
    document["networks"] = std::move(networks);
  return document;
}

json::object empty_stats_document() {
  json::object io;
  for (const char* name : io_members) io[name] = nullptr;
  return json::object{{"read", zero_rfc3339},
                      {"preread", zero_rfc3339},
                      {"pids_stats", json::object()},
                      {"blkio_stats", std::move(io)},
                      {"num_procs", 0},
                      {"storage_stats", json::object()},
                      {"cpu_stats", zero_cpu()},
                      {"precpu_stats", zero_cpu()},
                      {"memory_stats", json::object()}};
}

}  // namespace lab::engine::container
