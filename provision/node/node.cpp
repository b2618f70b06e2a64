#include "provision/node/node.hpp"

#include <poll.h>

#include <boost/json.hpp>

#include "base/digest.hpp"
#include "base/random.hpp"
#include "base/subprocess.hpp"
#include "provision/node/archive.hpp"

namespace lab::provision {

namespace json = boost::json;
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

constexpr seconds daemon_start_time(30);
constexpr milliseconds look_again(20);
constexpr std::string_view provisioned_path = "/var/lib/lab/provisioned";

void pause(milliseconds time) { poll(nullptr, 0, static_cast<int>(time.count())); }

// What a check prints before each of its parts.
struct Parts {
  std::string mark;
  [[nodiscard]] std::string begin(std::string_view name) const {
    return fmt::format("{} {}\n", mark, name);
  }
  // The text between this part's line and the next mark.
  [[nodiscard]] std::string_view of(std::string_view output, std::string_view name) const {
    std::string line = begin(name);
    std::size_t at = output.find(line);
    if (at == std::string_view::npos) return {};
    output.remove_prefix(at + line.size());
    return output.substr(0, output.find(mark + " "));
  }
};

std::string look_script(const NodePlan& plan, const Parts& parts) {
  std::vector<std::string> paths;
  for (const auto* files : {&plan.files, &plan.labfile_files})
    for (const NodeFile& file : *files) paths.push_back(file.path);
  auto part = [&parts](std::string_view name) {
    return fmt::format("echo; echo '{} {}'\n", parts.mark, name);
  };
  // The shell's own means: under emulation each program started costs more than all of this.
  auto contents = [](std::string_view path) {
    return fmt::format("if [ -r {0} ]; then echo \"$(<{0})\"; fi\n", path);
  };
  std::string script = part("manifest");
  script += contents(manifest_path);
  script += part("seed");
  script += contents(seed_manifest_path);
  script += part("provisioned");
  script += contents(provisioned_path);
  script += part("stat");
  if (!paths.empty())
    script += "stat -L -c '%s %Y %a %n' -- " + shell_quote(paths) + " 2>/dev/null\n";
  return script + part("end");
}

std::vector<std::string> lines_of(std::string_view text) {
  std::vector<std::string> lines;
  while (!text.empty()) {
    std::size_t end = std::min(text.find('\n'), text.size());
    if (end > 0) lines.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return lines;
}

std::vector<ApiRequest> daemon_requests() {
  ApiRequest engine{.target = "/info"};
  ApiRequest swarm{.target = "/info", .socket = swarm_socket};
  return {engine, swarm};
}

void take_daemon_answers(NodeFacts& facts, const ApiReply& engine, const ApiReply& swarm) {
  facts.engine_answers = engine.ok();
  facts.swarm_answers = swarm.ok();
  facts.swarm = parse_swarm_facts(engine);
}

bool is_unit(const std::string& path) { return path.starts_with("/etc/systemd/system/"); }

// Which daemons run with this file and must be started anew for it.
std::vector<std::string> daemons_of(const std::string& path) {
  if (path.ends_with("/engined") || path.ends_with("/engined.service") ||
      path == "/etc/docker/daemon.json") {
    return {"engined"};
  }
  if (path.ends_with("/swarmd") || path.ends_with("/swarmd.service")) return {"swarmd"};
  return {};
}

std::string command_mark(const std::string& command) { return sha256_hex(command); }

}  // namespace

SwarmFacts parse_swarm_facts(const ApiReply& info) {
  SwarmFacts facts;
  json::value parsed = info.json();
  const json::object* object = parsed.if_object();
  const json::value* found = object == nullptr ? nullptr : object->if_contains("Swarm");
  const json::object* swarm = found == nullptr ? nullptr : found->if_object();
  if (swarm == nullptr) return facts;
  auto text = [swarm](std::string_view key) {
    const json::value* value = swarm->if_contains(key);
    return value != nullptr && value->is_string() ? std::string(value->as_string()) : std::string();
  };
  facts.state = text("LocalNodeState");
  facts.node_id = text("NodeID");
  facts.error = text("Error");
  const json::value* control = swarm->if_contains("ControlAvailable");
  facts.is_manager = control != nullptr && control->is_bool() && control->as_bool();
  return facts;
}

Result<Node> Node::wait_for_ssh(const SshTarget& target, const Clock& clock, seconds timeout,
                                const std::function<bool()>& alive,
                                const std::function<bool()>& reachable) {
  constexpr milliseconds silence{3000};
  constexpr int looks_between_questions = 25;  // whether it lives is asked of the whole of /proc
  TimePoint deadline = clock.now() + timeout;
  std::string last = "it has no network yet";
  for (int look = 1;; ++look) {
    // A connection into a machine without network would hang for seconds.
    if (reachable()) {
      auto left = std::chrono::ceil<milliseconds>(deadline - clock.now());
      auto session = SshSession::connect(
          target, std::clamp(left, milliseconds(1), milliseconds(60'000)), silence);
      if (session) return Node(std::move(*session), clock);
      if (session.error().code == Code::unauthorized) return session.error();
      last = session.error().message;
    }
    if (look % looks_between_questions == 0 && !alive())
      return make_error(Code::unavailable, "{}: the machine stopped while it booted", target.name);
    if (clock.now() >= deadline) {
      return make_error(Code::deadline_exceeded, "{}: no SSH login within {} s; last: {}",
                        target.name, timeout.count(), last);
    }
    pause(look_again);
  }
}

// All in one round trip and one shell.
Result<void> Node::look_at_files(const NodePlan& plan, NodeFacts& facts) {
  Parts parts{"lab-" + secure_random_hex(8)};
  SshCommand command{look_script(plan, parts)};
  LAB_TRY(SshResult result, session_.exec(command));
  facts.manifest = parse_manifest(parts.of(result.output, "manifest"));
  facts.seed_manifest = parse_manifest(parts.of(result.output, "seed"));
  facts.provisioned = lines_of(parts.of(result.output, "provisioned"));
  facts.found = parse_stat(parts.of(result.output, "stat"));
  return {};
}

Result<NodeFacts> Node::look(const NodePlan& plan, const std::vector<ApiRequest>& more) {
  NodeFacts facts;
  if (plan.just_started && plan.labfile_files.empty() && plan.commands.empty()) {
    // The seed has just put them there.
    facts.seed_manifest = seed_manifest(plan.files);
    facts.found = facts.seed_manifest;
  } else {
    LAB_CHECK(look_at_files(plan, facts));
  }
  LAB_CHECK(daemons_answer(facts, plan.just_started ? daemon_start_time : seconds(0)));
  LAB_TRY(facts.more, call_api(session_, more));
  return facts;
}

Result<void> Node::send(const std::vector<NodeFile>& files, NodeFacts& facts) {
  std::int64_t now =
      std::chrono::duration_cast<seconds>(clock_->wall_now().time_since_epoch()).count();
  Archive archive(now);
  for (const NodeFile& file : files) {
    archive.add_file(file.path, *file.content, file.mode);
    ManifestEntry entry{file.sha256, file.content->size(), now, file.mode};
    facts.manifest[file.path] = entry;
    facts.found[file.path] = entry;
  }
  // Last in the archive, so that a broken transfer leaves the old manifest, which does not match
  // what was written, and the files are sent again.
  archive.add_file(manifest_path, format_manifest(facts.manifest), 0644);
  LAB_TRY(std::string packed, archive.finish());
  SshCommand unpack{"tar -xzpf - -C / --unlink-first --no-same-owner"};
  unpack.input = std::move(packed);
  unpack.timeout = std::chrono::minutes(5);
  auto sent = session_.exec_checked(unpack);
  if (!sent) return sent.error().wrap("copying {} files", files.size());
  return {};
}

Result<bool> Node::daemons_answer(NodeFacts& facts, seconds time) {
  TimePoint deadline = clock_->now() + time;
  for (;;) {
    auto replies = call_api(session_, daemon_requests());
    if (!replies) return replies.error();
    take_daemon_answers(facts, (*replies)[0], (*replies)[1]);
    if (facts.engine_answers && facts.swarm_answers) return true;
    if (clock_->now() >= deadline) return false;
    pause(look_again);
  }
}

// A daemon that is only slow to start is given time; one that then still does not answer is started
// anew.
Result<void> Node::start_daemons(const std::set<std::string>& restart, bool units_changed,
                                 NodeFacts& facts, Progress& progress) {
  std::string names;
  for (const std::string& daemon : restart) names += " " + daemon + ".service";
  progress.step(session_.target().name,
                restart.empty() ? "waiting for engined and swarmd" : "starting" + names);
  std::string all = " engined.service swarmd.service";
  SshCommand start{(units_changed ? "systemctl daemon-reload; " : "") +
                   ("systemctl reset-failed" + all + " 2>/dev/null; ") +
                   (restart.empty() ? "" : "systemctl restart" + names + " && ") +
                   ("systemctl start" + all)};
  start.timeout = seconds(90);
  LAB_CHECK(session_.exec_checked(start));
  LAB_TRY(bool answer, daemons_answer(facts, daemon_start_time));
  if (answer) return {};
  std::string silent = facts.engine_answers ? "swarmd" : "engined";
  start.command = "systemctl restart " + silent + ".service";
  LAB_CHECK(session_.exec_checked(start));
  LAB_TRY(answer, daemons_answer(facts, daemon_start_time));
  if (answer) return {};
  SshCommand why{fmt::format("systemctl status --no-pager -l -n 20 {}.service", silent)};
  auto status = session_.exec(why);
  return make_error(Code::deadline_exceeded, "{}: {} does not answer {} s after its start:\n{}",
                    session_.target().name, silent, daemon_start_time.count(),
                    status ? status->output : status.error().message);
}

// A recipe image has them; a cloud image gets them from its own package sources.
Result<void> Node::install_packages(Progress& progress) {
  SshCommand probe{"for p in crun conmon nft curl; do command -v $p >/dev/null || echo $p; done"};
  LAB_TRY(std::string missing, session_.exec_checked(probe));
  if (missing.empty()) return {};
  progress.step(session_.target().name, "installing crun, conmon, nftables and curl");
  SshCommand install{
      "export DEBIAN_FRONTEND=noninteractive\n"
      "apt-get -q update && apt-get -q install -y --no-install-recommends "
      "crun conmon nftables curl ca-certificates 2>&1"};
  install.timeout = std::chrono::minutes(20);
  auto installed = session_.exec_checked(install);
  if (!installed) return installed.error();
  return {};
}

Result<bool> Node::deploy(const NodePlan& plan, NodeFacts& facts, Progress& progress) {
  std::vector<NodeFile> missing =
      files_to_send(plan.files, {&facts.manifest, &facts.seed_manifest}, facts.found);
  std::set<std::string> restart;
  bool units_changed = false;
  for (const NodeFile& file : missing) {
    for (std::string& daemon : daemons_of(file.path)) restart.insert(std::move(daemon));
    units_changed = units_changed || is_unit(file.path);
  }
  if (!missing.empty()) {
    std::size_t bytes = 0;
    for (const NodeFile& file : missing) bytes += file.content->size();
    if (facts.manifest.empty() && facts.seed_manifest.empty())
      LAB_CHECK(install_packages(progress));
    progress.step(plan.machine,
                  fmt::format("copying {} files ({} KiB)", missing.size(), (bytes + 1023) / 1024));
    LAB_CHECK(send(missing, facts));
  }
  bool answer = facts.engine_answers && facts.swarm_answers;
  if (!answer || !restart.empty() || units_changed)
    LAB_CHECK(start_daemons(restart, units_changed, facts, progress));
  return !missing.empty() || !answer;
}

// They appear a moment after they were given; nobody but us switches them on.
Result<void> Node::use_cpus(unsigned cpus) {
  SshCommand command{
      fmt::format("exec {{empty}}<> <(:)\n"
                  "for ((i = 0; i < 1000; i++)); do\n"
                  "  for one in /sys/devices/system/cpu/cpu[0-9]*/online; do\n"
                  "    [ ! -e $one ] || [ $(<$one) = 1 ] || echo 1 > $one\n"
                  "  done\n"
                  "  [ $(nproc) = {0} ] && exit 0\n"
                  "  read -r -t 0.02 -u $empty\n"
                  "done\n"
                  "echo \"$(nproc) of {0} processors are in use\"; exit 1",
                  cpus)};
  LAB_CHECK(session_.exec_checked(command));
  return {};
}

Result<void> Node::wait_while_pending(NodeFacts& facts, seconds timeout) {
  TimePoint deadline = clock_->now() + timeout;
  while (facts.swarm.state == "pending" && clock_->now() < deadline) {
    pause(look_again);
    LAB_TRY(std::vector<ApiReply> replies, call_api(session_, {ApiRequest{.target = "/info"}}));
    facts.swarm = parse_swarm_facts(replies.front());
  }
  return {};
}

Result<bool> Node::provision(const NodePlan& plan, NodeFacts& facts, Progress& progress) {
  bool any = false;
  std::vector<NodeFile> missing = files_to_send(plan.labfile_files, {&facts.manifest}, facts.found);
  if (!missing.empty()) {
    progress.step(plan.machine, fmt::format("copying {} files of the labfile", missing.size()));
    LAB_CHECK(send(missing, facts));
    any = true;
  }
  for (std::size_t i = 0; i < plan.commands.size(); ++i) {
    std::string mark = command_mark(plan.commands[i]);
    if (std::find(facts.provisioned.begin(), facts.provisioned.end(), mark) !=
        facts.provisioned.end()) {
      continue;
    }
    progress.step(plan.machine, fmt::format("command {} of {}: {}", i + 1, plan.commands.size(),
                                            plan.commands[i].substr(0, 60)));
    SshCommand run{"sh -e -c " + shell_quote({plan.commands[i]}) + " 2>&1 </dev/null"};
    run.timeout = std::chrono::minutes(30);
    LAB_TRY(SshResult result, session_.exec(run));
    if (result.status != 0) {
      std::string tail =
          result.output.substr(result.output.size() > 2000 ? result.output.size() - 2000 : 0);
      return make_error(Code::internal,
                        "machines.{}.commands[{}] `{}` exited with status {}; its last output:\n{}",
                        plan.machine, i, plan.commands[i], result.status, tail);
    }
    SshCommand remember{
        fmt::format("mkdir -p /var/lib/lab && echo {} >> {}", mark, provisioned_path)};
    LAB_CHECK(session_.exec_checked(remember));
    facts.provisioned.push_back(mark);
    any = true;
  }
  return any;
}

}  // namespace lab::provision
