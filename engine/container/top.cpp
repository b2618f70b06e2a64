#include "engine/container/top.hpp"

#include <pwd.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <charconv>
#include <ctime>
#include <set>
#include <vector>

#include "base/clock.hpp"
#include "base/file.hpp"
#include "base/subprocess.hpp"
#include "engine/util/json.hpp"

namespace lab::engine::container {

namespace json = boost::json;

namespace {

std::vector<std::string> split(std::string_view text, std::size_t fields_max) {
  std::vector<std::string> fields;
  constexpr std::string_view space = " \t";
  for (;;) {
    std::size_t start = text.find_first_not_of(space);
    if (start == std::string_view::npos) return fields;
    text.remove_prefix(start);
    bool last = fields.size() + 1 == fields_max;
    std::size_t end = last ? text.size() : std::min(text.find_first_of(space), text.size());
    fields.emplace_back(text.substr(0, end));
    text.remove_prefix(end);
  }
}

// Every process with the container's cgroup, by number.
std::vector<pid_t> processes_of(const std::string& container_id) {
  std::set<pid_t> found;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator("/proc", ignored)) {
    std::string name = entry.path().filename().string();
    pid_t pid = 0;
    auto [end, failure] = std::from_chars(name.data(), name.data() + name.size(), pid);
    if (failure != std::errc() || end != name.data() + name.size()) continue;
    Result<std::string> cgroup = read_file(entry.path() / "cgroup", 1 << 16);
    if (cgroup && cgroup->find(container_id) != std::string::npos) found.insert(pid);
  }
  return {found.begin(), found.end()};
}

std::string user_name(uid_t uid) {
  Result<std::string> passwd = read_file("/etc/passwd", 1 << 20);
  std::string number = fmt::format("{}", uid);
  if (!passwd) return number;
  std::size_t at = passwd->find(":" + number + ":");
  for (; at != std::string::npos; at = passwd->find(":" + number + ":", at + 1)) {
    std::size_t line = passwd->rfind('\n', at);
    line = line == std::string::npos ? 0 : line + 1;
    std::string entry = passwd->substr(line, at - line);
    std::size_t colon = entry.find(':');
    if (colon != std::string::npos && entry.find(':', colon + 1) == std::string::npos)
      return entry.substr(0, colon);
  }
  return number;
}

std::string terminal_name(std::int64_t device) {
  unsigned major_number = major(static_cast<dev_t>(device));
  unsigned minor_number = minor(static_cast<dev_t>(device));
  if (device == 0) return "?";
  if (major_number >= 136 && major_number <= 143)
    return fmt::format("pts/{}", (major_number - 136) * 256 + minor_number);
  if (major_number == 4) return fmt::format("tty{}", minor_number);
  return "?";
}

std::string command_of(pid_t pid, const std::string& name) {
  Result<std::string> line = read_file(fmt::format("/proc/{}/cmdline", pid), 1 << 20);
  if (!line || line->empty()) return "[" + name + "]";
  while (!line->empty() && line->back() == '\0') line->pop_back();
  std::replace(line->begin(), line->end(), '\0', ' ');
  return *line;
}

std::int64_t boot_time() {
  Result<std::string> stat = read_file("/proc/stat", 1 << 20);
  if (!stat) return 0;
  std::size_t at = stat->find("btime ");
  return at == std::string::npos ? 0 : std::atoll(stat->c_str() + at + 6);
}

std::string start_text(std::int64_t started, std::int64_t now) {
  char text[32];
  std::tm local{};
  std::time_t time = started;
  localtime_r(&time, &local);
  std::strftime(text, sizeof text, now - started < 86'400 ? "%H:%M" : "%b%d", &local);
  return text;
}

// UID PID PPID C STIME TTY TIME CMD; nothing when the process has ended.
json::array describe(pid_t pid, std::int64_t now) {
  Result<std::string> stat = read_file(fmt::format("/proc/{}/stat", pid), 1 << 16);
  struct stat info {};
  if (!stat || ::stat(fmt::format("/proc/{}", pid).c_str(), &info) != 0) return {};
  std::size_t open = stat->find('(');
  std::size_t close = stat->rfind(')');
  if (open == std::string::npos || close == std::string::npos) return {};
  std::string name = stat->substr(open + 1, close - open - 1);
  std::vector<std::string> fields = split(std::string_view(*stat).substr(close + 1), 0);
  if (fields.size() < 20) return {};
  std::int64_t ticks_per_second = sysconf(_SC_CLK_TCK);
  std::int64_t cpu_seconds =
      (std::atoll(fields[11].c_str()) + std::atoll(fields[12].c_str())) / ticks_per_second;
  std::int64_t started = boot_time() + std::atoll(fields[19].c_str()) / ticks_per_second;
  std::int64_t lived = std::max<std::int64_t>(now - started, 1);
  std::string used =
      fmt::format("{:02}:{:02}:{:02}", cpu_seconds / 3600, cpu_seconds / 60 % 60, cpu_seconds % 60);
  return json::array{user_name(info.st_uid),
                     fmt::format("{}", pid),
                     fields[1],
                     fmt::format("{}", std::min<std::int64_t>(cpu_seconds * 100 / lived, 99)),
                     start_text(started, now),
                     terminal_name(std::atoll(fields[4].c_str())),
                     used,
                     command_of(pid, name)};
}

json::object full_listing(const std::vector<pid_t>& pids) {
  std::int64_t now =
      std::chrono::duration_cast<std::chrono::seconds>(SystemClock().wall_now().time_since_epoch())
          .count();
  json::array processes;
  for (pid_t pid : pids) {
    json::array row = describe(pid, now);
    if (!row.empty()) processes.push_back(std::move(row));
  }
  return json::object{
      {"Titles", json::array{"UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"}},
      {"Processes", std::move(processes)}};
}

Result<json::object> reduced_output(const std::string& output, const std::vector<pid_t>& pids) {
  std::string_view left = output;
  std::vector<std::string> titles;
  std::size_t pid_column = 0;
  json::array processes;
  while (!left.empty()) {
    std::size_t end = std::min(left.find('\n'), left.size());
    std::string_view line = left.substr(0, end);
    left.remove_prefix(std::min(end + 1, left.size()));
    if (titles.empty()) {
      titles = split(line, 0);
      auto found = std::find(titles.begin(), titles.end(), "PID");
      if (found == titles.end())
        return make_error(Code::internal, "Couldn't find PID field in ps output");
      pid_column = static_cast<std::size_t>(found - titles.begin());
      continue;
    }
    std::vector<std::string> fields = split(line, titles.size());
    if (fields.size() <= pid_column) continue;
    pid_t pid = std::atoi(fields[pid_column].c_str());
    if (std::find(pids.begin(), pids.end(), pid) != pids.end())
      processes.push_back(to_array(fields));
  }
  return json::object{{"Titles", to_array(titles)}, {"Processes", std::move(processes)}};
}

}  // namespace

Result<json::object> process_table(const std::string& container_id,
                                   const std::string& ps_arguments) {
  std::vector<pid_t> pids = processes_of(container_id);
  if (ps_arguments == "-ef" || ps_arguments == "ef" || ps_arguments.empty())
    return full_listing(pids);
  Command command;
  command.argv = {"ps"};
  for (std::string& word : split(ps_arguments, 0)) command.argv.push_back(std::move(word));
  Result<CommandResult> result = run_command(command);
  if (!result) return std::move(result).error();
  if (result->exit_status != 0) {
    while (!result->errors.empty() && result->errors.back() == '\n') result->errors.pop_back();
    return make_error(Code::internal, "ps: {}", result->errors);
  }
  return reduced_output(result->output, pids);
}

}  // namespace lab::engine::container
