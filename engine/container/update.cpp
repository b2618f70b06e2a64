// `docker update`: limits and restart policy of a container, changed while it runs.
#include <boost/json/serialize.hpp>

#include "base/blocking.hpp"
#include "engine/container/config.hpp"
#include "engine/container/containers.hpp"
#include "engine/container/spec.hpp"
#include "engine/util/json.hpp"

namespace lab::engine::container {

namespace asio = boost::asio;
namespace json = boost::json;

namespace {

// What can be changed later; a zero means that it stays as it is.
constexpr const char* numbers[] = {
    "BlkioWeight",        "CpuShares", "CpuPeriod",  "CpuQuota",          "CpuRealtimePeriod",
    "CpuRealtimeRuntime", "Memory",    "MemorySwap", "MemoryReservation", "NanoCpus"};
constexpr const char* texts[] = {"CpusetCpus", "CpusetMems"};

Error cannot_update(const Container& container, std::string_view why) {
  return make_error(Code::conflict, "Cannot update container {}: {}", container.id, why);
}

Result<void> check_conflicts(const Container& container, const json::object& change) {
  const json::object& now = container.host_config;
  const std::int64_t memory = integer_of(change, "Memory");
  const std::int64_t swap_now = integer_of(now, "MemorySwap");
  if (memory > 0 && integer_of(change, "MemorySwap") == 0 && swap_now != -1 && memory > swap_now) {
    return cannot_update(container,
                         "Memory limit should be smaller than already set memoryswap limit, update "
                         "the memoryswap at the same time");
  }
  for (const auto& [member, name] :
       {std::pair{"CpuPeriod", "CPU Period"}, std::pair{"CpuQuota", "CPU Quota"}}) {
    if (integer_of(change, "NanoCpus") > 0 && integer_of(now, member) > 0) {
      return cannot_update(
          container,
          fmt::format("Conflicting options: Nano CPUs cannot be updated as {} has already been set",
                      name));
    }
    if (integer_of(change, member) > 0 && integer_of(now, "NanoCpus") > 0) {
      return cannot_update(
          container,
          fmt::format("Conflicting options: {} cannot be updated as NanoCPUs has already been set",
                      name));
    }
  }
  const std::string policy = text_of(object_of(change, "RestartPolicy"), "Name");
  if (!policy.empty() && policy != "no" && flag_of(now, "AutoRemove")) {
    return cannot_update(container,
                         "Restart policy cannot be updated because AutoRemove is enabled for the "
                         "container");
  }
  return {};
}

json::object merged(const json::object& now, const json::object& change) {
  json::object result = now;
  for (const char* name : numbers) {
    if (const std::int64_t value = integer_of(change, name); value != 0) result[name] = value;
  }
  for (const char* name : texts) {
    if (std::string value = text_of(change, name); !value.empty()) result[name] = std::move(value);
  }
  if (const json::value* limit = change.if_contains("PidsLimit");
      limit != nullptr && limit->is_number())
    result["PidsLimit"] = *limit;
  const json::object& policy = object_of(change, "RestartPolicy");
  if (std::string name = text_of(policy, "Name"); !name.empty()) {
    result["RestartPolicy"] = json::object{
        {"Name", std::move(name)}, {"MaximumRetryCount", integer_of(policy, "MaximumRetryCount")}};
  }
  return result;
}

}  // namespace

asio::awaitable<Result<void>> Containers::update(ContainerPtr container, json::object change) {
  AsyncMutex::Lock lock = co_await container->operation.lock();
  if (container->removed || container->state.removing || container->state.dead) {
    co_return cannot_update(*container,
                            "Container is marked for removal and cannot be \"update\".");
  }
  LAB_CO_CHECK(check_conflicts(*container, change));
  json::object before = container->host_config;
  container->host_config = merged(before, change);
  Result<void> done;
  if (container->state.running) {
    const std::string resources = json::serialize(resource_limits(container->host_config));
    done = co_await run_blocking<Result<void>>([this, &container, &resources] {
      return services_.runtime.update(container->id, resources);
    });
    if (!done) done = cannot_update(*container, done.error().message);
  }
  if (done) done = save(*container);
  if (!done) {
    container->host_config = std::move(before);
    co_return done;
  }
  emit(*container, "update");
  co_return Result<void>();
}

}  // namespace lab::engine::container
