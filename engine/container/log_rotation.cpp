#include "engine/container/log_rotation.hpp"

#include <sys/stat.h>

#include <boost/asio/experimental/awaitable_operators.hpp>
#include <charconv>

#include "base/log.hpp"
#include "engine/container/containers.hpp"
#include "engine/container/logs.hpp"
#include "engine/util/json.hpp"

namespace lab::engine::container {

namespace asio = boost::asio;
namespace json = boost::json;

namespace {

// A log is looked at no more often than this, however much is written.
constexpr std::chrono::milliseconds look_interval{50};

constexpr std::string_view known_options[] = {"max-size", "max-file", "compress",  "labels",
                                              "env",      "tag",      "env-regex", "labels-regex"};

// "10k", "1.5MB", "100": Go's units.FromHumanSize.
Result<std::uint64_t> parse_size(const std::string& text) {
  double number = 0;
  auto [at, failure] = std::from_chars(text.data(), text.data() + text.size(), number);
  std::string unit(at, text.data() + text.size());
  for (char& c : unit) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  if (unit.starts_with(' ')) unit.erase(0, 1);
  if (unit.ends_with('b')) unit.pop_back();
  constexpr std::string_view units = "kmgtp";
  const std::size_t power = unit.empty() ? 0 : units.find(unit) + 1;
  if (failure != std::errc() || unit.size() > 1 || (power == 0 && !unit.empty()))
    return make_error(Code::invalid_argument, "invalid size: '{}'", text);
  for (std::size_t i = 0; i < power; ++i) number *= 1000;
  if (number < 1)
    return make_error(Code::invalid_argument, "max-size should be a positive numbmer");
  return static_cast<std::uint64_t>(number);
}

std::uint64_t size_of(const std::filesystem::path& path) {
  struct stat info {};
  return stat(path.c_str(), &info) == 0 ? static_cast<std::uint64_t>(info.st_size) : 0;
}

}  // namespace

Result<LogLimits> parse_log_limits(const json::object& options) {
  LogLimits limits;
  for (const auto& option : options) {
    if (std::find(std::begin(known_options), std::end(known_options),
                  std::string_view(option.key())) == std::end(known_options)) {
      return make_error(Code::invalid_argument, "unknown log opt '{}' for json-file log driver",
                        std::string_view(option.key()));
    }
  }
  if (const std::string size = text_of(options, "max-size"); !size.empty() && size != "-1") {
    LAB_TRY(limits.size_bytes_max, parse_size(size));
  }
  if (const std::string files = text_of(options, "max-file"); !files.empty()) {
    auto [at, failure] =
        std::from_chars(files.data(), files.data() + files.size(), limits.files_max);
    if (failure != std::errc() || at != files.data() + files.size())
      return make_error(Code::invalid_argument, "invalid max-file: '{}'", files);
    if (limits.files_max < 1)
      return make_error(Code::invalid_argument, "max-file cannot be less than 1");
  }
  return limits;
}

std::filesystem::path rotated_log(const std::filesystem::path& log, int number) {
  return number == 0 ? log : std::filesystem::path(fmt::format("{}.{}", log.string(), number));
}

Result<void> rotate_log(const std::filesystem::path& log, int files_max) {
  std::error_code failure;
  if (files_max == 1) {
    std::filesystem::remove(log, failure);
  } else {
    for (int number = files_max - 1; number > 0; --number) {
      std::filesystem::rename(rotated_log(log, number - 1), rotated_log(log, number), failure);
      if (failure && failure != std::errc::no_such_file_or_directory) break;
      failure.clear();
    }
  }
  if (!failure) return {};
  return make_error(Code::internal, "rotating {}: {}", log.string(), failure.message());
}

LogRotation::LogRotation(Containers& containers)
    : containers_(containers), background_(containers.services().executor) {}

void LogRotation::watch(const std::shared_ptr<Container>& container) {
  const json::object& log = object_of(container->host_config, "LogConfig");
  Result<LogLimits> limits = parse_log_limits(object_of(log, "Config"));
  if (!limits || limits->size_bytes_max == 0 || text_of(log, "Type") == "none") return;
  background_.spawn("rotating a log", rotate_while_running(container, *limits));
}

asio::awaitable<void> LogRotation::rotate_while_running(std::shared_ptr<Container> container,
                                                        LogLimits limits) {
  using namespace asio::experimental::awaitable_operators;
  const std::filesystem::path log = containers_.log_path(container->id);
  const std::filesystem::path bundle = containers_.services().runtime.bundle(container->id);
  const Clock& clock = containers_.services().clock;
  const std::uint64_t run = container->exits;
  auto runs = [&container, run] { return container->state.running && container->exits == run; };
  Result<FileWatch> watch = FileWatch::open(containers_.services().executor, log);
  if (!watch) {
    log::warning("container {}: {}", container->id.substr(0, 12), watch.error().message);
    co_return;
  }
  std::error_code ignored;
  // A crash of ours between the two steps of a rotation.
  if (!std::filesystem::exists(log, ignored)) static_cast<void>(co_await reopen_log(bundle));
  while (runs()) {
    if (size_of(log) >= limits.size_bytes_max) {
      Result<void> done = rotate_log(log, limits.files_max);
      if (done) done = co_await reopen_log(bundle);
      if (!done && runs())
        log::warning("container {}: {}", container->id.substr(0, 12), done.error().message);
    }
    const TimePoint next = clock.now() + look_interval;
    while (runs() && clock.now() < next) co_await container->changed.wait_until(next);
    if (size_of(log) < limits.size_bytes_max && runs())
      co_await (watch->wait() || container->changed.wait());
  }
}

}  // namespace lab::engine::container
