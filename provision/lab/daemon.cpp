#include "provision/lab/daemon.hpp"

#include <dirent.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <boost/json.hpp>

#include "base/clock.hpp"
#include "base/http_client.hpp"
#include "base/subprocess.hpp"

namespace lab::provision {

namespace fs = std::filesystem;
namespace json = boost::json;
using std::chrono::milliseconds;

namespace {

constexpr milliseconds start_time(10'000);
constexpr milliseconds stop_time(5'000);

Result<http::Response> ask(const LabPaths& paths, std::string method, std::string target,
                           std::string body = {}) {
  http::Endpoint endpoint;
  endpoint.unix_path = paths.labd_socket();
  http::ClientRequest request;
  request.method = std::move(method);
  request.target = std::move(target);
  request.body = std::move(body);
  request.timeout = milliseconds(5000);
  return http::fetch_blocking(std::move(endpoint), std::move(request));
}

std::string log_tail(const LabPaths& paths) {
  auto text = read_file(paths.labd_log());
  if (!text) return text.error().message;
  return text->substr(text->size() > 1000 ? text->size() - 1000 : 0);
}

// The error that labd answered with.
Error refusal(const http::Response& reply) {
  boost::system::error_code failure;
  const json::value body = json::parse(reply.body, failure);
  const json::value* message =
      !failure && body.is_object() ? body.get_object().if_contains("message") : nullptr;
  return make_error(
      code_from_http_status(reply.status), "labd does not take its new configuration: {}",
      message != nullptr && message->is_string() ? std::string_view(message->get_string())
                                                 : std::string_view(reply.body));
}

json::array ports_of(const Labfile& labfile, const LabState& state) {
  json::array ports;
  for (const MachineConfig& machine : labfile.machines) {
    auto found = state.machines.find(machine.name);
    if (found == state.machines.end()) continue;
    ports.push_back(json::object{{"machine", machine.name},
                                 {"mac", found->second.mac},
                                 {"address", machine.address},
                                 {"switch_port", found->second.switch_port},
                                 {"nic_port", found->second.nic_port}});
  }
  return ports;
}

json::array forwards_of(const Labfile& labfile) {
  json::array forwards;
  for (const ForwardConfig& forward : labfile.forwards) {
    forwards.push_back(json::object{
        {"host", forward.host_port}, {"machine", forward.machine}, {"port", forward.port}});
  }
  return forwards;
}

bool ends_within(const Fd& process, milliseconds time) {
  pollfd ended{process.get(), POLLIN, 0};
  return poll(&ended, 1, static_cast<int>(time.count())) == 1;
}

bool is_number(const char* name) {
  for (; *name != '\0'; ++name)
    if (*name < '0' || *name > '9') return false;
  return true;
}

}  // namespace

std::string labd_config(const LabPaths& paths, const Labfile& labfile, const LabState& state,
                        const fs::path& cache_root) {
  json::array links;
  for (const LinkConfig& link : labfile.links) {
    json::object entry = netsim::to_json(link.quality);
    entry["from"] = link.from;
    entry["to"] = link.to;
    links.push_back(std::move(entry));
  }
  json::object mirror{{"address", "127.0.0.1"},
                      {"port", state.mirror_port},
                      {"catalogue", catalogue_directory(cache_root).string()}};
  json::object config{{"lab", labfile.name},
                      {"lab_id", state.id},
                      {"libvirt_uri", state.libvirt_uri},
                      {"control_socket", paths.labd_socket().string()},
                      {"subnet", labfile.subnet},
                      {"mirror", std::move(mirror)},
                      {"ports", ports_of(labfile, state)},
                      {"links", std::move(links)},
                      {"forwards", forwards_of(labfile)}};
  return json::serialize(config) + "\n";
}

std::optional<pid_t> labd_process(const LabPaths& paths) {
  Fd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::string path = paths.labd_socket();
  if (!fd || path.size() >= sizeof address.sun_path) return std::nullopt;
  path.copy(address.sun_path, path.size());
  if (connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
    return std::nullopt;
  ucred peer{};
  socklen_t size = sizeof peer;
  if (getsockopt(fd.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return std::nullopt;
  return peer.pid;
}

Result<bool> ensure_labd(const LabPaths& paths, const std::string& config,
                         const fs::path& program) {
  auto old = read_file(paths.labd_config());
  bool same = old && *old == config;
  if (!same) LAB_CHECK(write_file_durably(paths.labd_config(), config, 0600));
  if (labd_process(paths)) {
    if (same) return false;
    LAB_TRY(http::Response reply, ask(paths, "POST", "/reload"));
    if (reply.status >= 300) {
      // The file says what labd does; the next attempt finds a difference again.
      if (old) LAB_CHECK(write_file_durably(paths.labd_config(), *old, 0600));
      return refusal(reply);
    }
    return true;
  }
  Command command{{program.string(), "--config", paths.labd_config().string()}};
  LAB_TRY(pid_t pid, spawn_daemon(command, paths.labd_log()));
  SystemClock clock;
  TimePoint deadline = clock.now() + start_time;
  while (!labd_process(paths)) {
    siginfo_t ended{};
    bool died = waitid(P_PID, static_cast<id_t>(pid), &ended, WEXITED | WNOHANG | WNOWAIT) == 0 &&
                ended.si_pid == pid;
    if (died || clock.now() >= deadline) {
      if (!died) kill(pid, SIGKILL);
      return make_error(Code::unavailable, "labd {}; the end of {}:\n{}",
                        died ? "ended at its start" : "does not answer", paths.labd_log().string(),
                        log_tail(paths));
    }
    poll(nullptr, 0, 5);
  }
  return true;
}

Result<void> stop_labd(const LabPaths& paths) {
  std::optional<pid_t> pid = labd_process(paths);
  if (!pid) return {};
  // Unlike the process's id, this tells of its end also where nobody reaps orphans.
  Fd process(static_cast<int>(syscall(SYS_pidfd_open, *pid, 0U)));
  if (!process) {
    if (errno == ESRCH) return {};
    return errno_error(errno, fmt::format("watching labd (process {})", *pid));
  }
  bool asked(ask(paths, "POST", "/shutdown"));
  if (asked && ends_within(process, stop_time)) return {};
  if (syscall(SYS_pidfd_send_signal, process.get(), SIGKILL, nullptr, 0U) != 0 && errno != ESRCH)
    return errno_error(errno, fmt::format("ending labd (process {})", *pid));
  if (ends_within(process, stop_time)) return {};
  return make_error(Code::unavailable, "labd (process {}) lives on {} ms after SIGKILL", *pid,
                    stop_time.count());
}

namespace {

Result<void> change_network(const LabPaths& paths, const char* target, std::string body) {
  if (!labd_process(paths)) return {};
  LAB_TRY(const http::Response reply, ask(paths, "POST", target, std::move(body)));
  if (reply.status == 200) return {};
  return make_error(code_from_http_status(reply.status), "labd's {}: {}", target, reply.body);
}

}  // namespace

Result<void> pause_network(const LabPaths& paths) {
  return change_network(paths, "/net/pause", "{}");
}

Result<void> resume_network(const LabPaths& paths, bool discard) {
  return change_network(paths, "/net/resume", fmt::format("{{\"discard\":{}}}", discard));
}

std::map<std::string, pid_t> machine_processes(const LabState& state) {
  std::map<std::string, pid_t> processes;
  std::map<std::string, std::string> wanted;  // what the command line holds -> machine
  for (const auto& [name, machine] : state.machines) {
    processes[name] = 0;
    wanted[fmt::format("tcp:127.0.0.1:{}-:22", machine.ssh_port)] = name;
  }
  std::unique_ptr<DIR, int (*)(DIR*)> folder(opendir("/proc"), &closedir);
  if (!folder) return processes;
  while (dirent* entry = readdir(folder.get())) {
    if (!is_number(entry->d_name)) continue;
    auto line = read_file(fs::path("/proc") / entry->d_name / "cmdline");
    if (!line || line->find("qemu") == std::string::npos) continue;
    for (const auto& [text, machine] : wanted) {
      if (line->find(text) != std::string::npos)
        processes[machine] = static_cast<pid_t>(std::atoi(entry->d_name));
    }
  }
  return processes;
}

}  // namespace lab::provision
