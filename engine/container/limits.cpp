#include "engine/container/limits.hpp"

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <set>

#include "base/file.hpp"
#include "engine/util/json.hpp"

namespace lab::engine::container {

namespace json = boost::json;

namespace {

constexpr std::int64_t memory_bytes_min = std::int64_t{6} << 20;
constexpr std::int64_t swappiness_max = 100;
constexpr const char* cpus_online = "/sys/devices/system/cpu/online";
constexpr const char* nodes_online = "/sys/devices/system/node/online";

Result<void> check_restart_policy(const json::object& host_config) {
  const json::object& policy = object_of(host_config, "RestartPolicy");
  std::string name = text_of(policy, "Name");
  std::int64_t retries = integer_of(policy, "MaximumRetryCount");
  if (name == "always" || name == "unless-stopped" || name == "no") {
    if (retries != 0) {
      return make_error(Code::invalid_argument,
                        "maximum retry count cannot be used with restart policy '{}'", name);
    }
  } else if (name == "on-failure") {
    if (retries < 0)
      return make_error(Code::invalid_argument, "maximum retry count cannot be negative");
  } else if (!name.empty()) {
    return make_error(Code::invalid_argument, "invalid restart policy '{}'", name);
  }
  if (flag_of(host_config, "AutoRemove") && !name.empty() && name != "no") {
    return make_error(Code::invalid_argument,
                      "can't create 'AutoRemove' container with restart policy");
  }
  return {};
}

Result<void> check_memory(const json::object& host_config, bool update) {
  std::int64_t memory = integer_of(host_config, "Memory");
  std::int64_t swap = integer_of(host_config, "MemorySwap");
  if (memory != 0 && memory < memory_bytes_min)
    return make_error(Code::invalid_argument, "Minimum memory limit allowed is 6MB");
  if (memory > 0 && swap > 0 && swap < memory) {
    return make_error(Code::invalid_argument,
                      "Minimum memoryswap limit should be larger than memory limit, see usage");
  }
  if (memory == 0 && swap > 0 && !update) {
    return make_error(Code::invalid_argument,
                      "You should always set the Memory limit when using Memoryswap limit, see "
                      "usage");
  }
  if (memory > 0 && memory < integer_of(host_config, "MemoryReservation")) {
    return make_error(Code::invalid_argument,
                      "Minimum memory limit can not be less than memory reservation limit, see "
                      "usage");
  }
  // -1 leaves it to the system.
  const std::int64_t swappiness = integer_of(host_config, "MemorySwappiness");
  if (swappiness < -1 || swappiness > swappiness_max) {
    return make_error(Code::invalid_argument,
                      "Invalid value: {}, valid memory swappiness range is 0-{}", swappiness,
                      swappiness_max);
  }
  const std::int64_t reserved = integer_of(host_config, "MemoryReservation");
  if (reserved > 0 && reserved < memory_bytes_min)
    return make_error(Code::invalid_argument, "Minimum memory reservation allowed is 6MB");
  const std::int64_t kernel = integer_of(host_config, "KernelMemory");
  if (kernel > 0 && kernel < memory_bytes_min)
    return make_error(Code::invalid_argument, "Minimum kernel memory limit allowed is 6MB");
  return {};
}

Result<void> check_processors(const json::object& host_config) {
  const std::int64_t nano = integer_of(host_config, "NanoCpus");
  const std::int64_t period = integer_of(host_config, "CpuPeriod");
  const std::int64_t quota = integer_of(host_config, "CpuQuota");
  const std::int64_t cpus = sysconf(_SC_NPROCESSORS_ONLN);
  if (nano > 0 && period > 0) {
    return make_error(Code::invalid_argument,
                      "Conflicting options: Nano CPUs and CPU Period cannot both be set");
  }
  if (nano > 0 && quota > 0) {
    return make_error(Code::invalid_argument,
                      "Conflicting options: Nano CPUs and CPU Quota cannot both be set");
  }
  if (nano < 0 || nano > cpus * 1'000'000'000) {
    return make_error(Code::invalid_argument,
                      "Range of CPUs is from 0.01 to {}.00, as there are only {} CPUs available",
                      cpus, cpus);
  }
  if (period != 0 && (period < 1000 || period > 1'000'000)) {
    return make_error(Code::invalid_argument,
                      "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. "
                      "1000000)");
  }
  if (quota > 0 && quota < 1000) {
    return make_error(Code::invalid_argument, "CPU cfs quota can not be less than 1ms (i.e. 1000)");
  }
  return {};
}

// "0-2,7" as numbers; nothing for what is no such list.
std::optional<std::set<int>> parse_numbers(std::string_view text) {
  std::set<int> numbers;
  while (!text.empty()) {
    const std::string_view part = text.substr(0, text.find(','));
    text.remove_prefix(std::min(part.size() + 1, text.size()));
    int first = 0;
    const char* end = part.data() + part.size();
    auto [at, failure] = std::from_chars(part.data(), end, first);
    int last = first;
    if (failure == std::errc() && at != end && *at == '-') {
      const auto rest = std::from_chars(at + 1, end, last);
      at = rest.ptr;
      failure = rest.ec;
    }
    constexpr int number_max = 8192;
    if (failure != std::errc() || at != end || last < first || last > number_max) return {};
    for (int number = first; number <= last; ++number) numbers.insert(number);
  }
  return numbers;
}

// `given` has to be among what the file lists.
Result<void> check_set(const std::string& given, const char* file, std::string_view what,
                       std::string_view member) {
  if (given.empty()) return {};
  const std::optional<std::set<int>> wanted = parse_numbers(given);
  if (!wanted) {
    return make_error(Code::invalid_argument,
                      "Invalid value {0} for cpuset {1}: invalid format: {0}", given, member);
  }
  Result<std::string> online = read_file(file, 4096);
  if (!online) return {};
  online->erase(online->find_last_not_of('\n') + 1);
  const std::set<int> available = parse_numbers(*online).value_or(std::set<int>());
  if (std::includes(available.begin(), available.end(), wanted->begin(), wanted->end())) return {};
  return make_error(Code::invalid_argument,
                    "Requested {} are not available - requested {}, available: {}", what, given,
                    *online);
}

bool has_block_weights() {
  return access("/sys/fs/cgroup/blkio/blkio.weight", F_OK) == 0 ||
         access("/sys/fs/cgroup/cgroup.controllers", F_OK) == 0;
}

}  // namespace

Result<std::vector<std::string>> check_limits(json::object& host_config, bool update) {
  std::vector<std::string> warnings;
  LAB_CHECK(check_restart_policy(host_config));
  LAB_CHECK(check_memory(host_config, update));
  if (integer_of(host_config, "KernelMemory") > 0) {
    warnings.emplace_back(
        "Specifying a kernel memory limit is deprecated and will be removed in a future release.");
  }
  LAB_CHECK(check_processors(host_config));
  LAB_CHECK(check_set(text_of(host_config, "CpusetCpus"), cpus_online, "CPUs", "cpus"));
  LAB_CHECK(check_set(text_of(host_config, "CpusetMems"), nodes_online, "memory nodes", "mems"));
  const std::int64_t weight = integer_of(host_config, "BlkioWeight");
  if (weight != 0 && !has_block_weights()) {
    warnings.emplace_back(
        "Your kernel does not support Block I/O weight or the cgroup is not mounted. Weight "
        "discarded.");
    host_config["BlkioWeight"] = 0;
  } else if (weight != 0 && (weight < 10 || weight > 1000)) {
    return make_error(Code::invalid_argument, "Range of blkio weight is from 10 to 1000");
  }
  return warnings;
}

}  // namespace lab::engine::container
