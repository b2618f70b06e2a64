#include "provision/lab/facts.hpp"

#include <boost/json.hpp>
#include <future>

#include "provision/node/api.hpp"

namespace lab::provision {

namespace json = boost::json;

namespace {

// On the root's own file system, which leaves out what is mounted: /proc, /run, containers' roots.
// Only folders are compared with the names to leave out, and in the C locale: in an emulated guest
// both are what listing ten thousand files costs most.
constexpr const char* list_files =
    R"(LC_ALL=C exec find / -xdev \( -type d \( -path /var/lib/engined -o -path /var/lib/swarmd )"
    R"(-o -path /var/log -o -path /var/lib/lab -o -path /tmp \) -prune \) -o )"
    R"(\( -type f -o -type l \) -printf '%C@ %s %m %p\0')";

// Something in an answer of the engine; empty when it is not there.
std::string text_at(const json::value& value, std::string_view pointer) {
  boost::system::error_code error;
  const json::value* found = value.find_pointer(pointer, error);
  if (found == nullptr) return {};
  if (found->is_string()) return std::string(found->get_string());
  return json::serialize(*found);
}

Described describe_containers(const json::value& list) {
  Described described;
  for (const json::value& one : list.is_array() ? list.get_array() : json::array()) {
    std::string name = text_at(one, "/Names/0");
    if (name.starts_with('/')) name.erase(0, 1);
    described[name] = fmt::format("{} {} {}", text_at(one, "/Id").substr(0, 12),
                                  text_at(one, "/Image"), text_at(one, "/State"));
  }
  return described;
}

Described describe_services(const json::value& list) {
  Described described;
  for (const json::value& one : list.is_array() ? list.get_array() : json::array()) {
    std::string image = text_at(one, "/Spec/TaskTemplate/ContainerSpec/Image");
    const std::string replicas = text_at(one, "/Spec/Mode/Replicated/Replicas");
    described[text_at(one, "/Spec/Name")] = fmt::format(
        "{}, {}, version {}", image, replicas.empty() ? "global" : replicas + " replicas",
        text_at(one, "/Version/Index"));
  }
  return described;
}

Described describe_nodes(const json::value& list) {
  Described described;
  for (const json::value& one : list.is_array() ? list.get_array() : json::array()) {
    const bool leads = text_at(one, "/ManagerStatus/Leader") == "true";
    described[text_at(one, "/Description/Hostname")] = fmt::format(
        "{}, {}, {}{}", text_at(one, "/Status/State"), text_at(one, "/Spec/Availability"),
        text_at(one, "/Spec/Role"), leads ? ", leader" : "");
  }
  return described;
}

// "CTIME SIZE MODE PATH", each with a zero byte behind it.
Described describe_files(std::string_view listed) {
  Described described;
  while (!listed.empty()) {
    const std::string_view entry = listed.substr(0, listed.find('\0'));
    listed.remove_prefix(std::min(entry.size() + 1, listed.size()));
    const std::size_t path = entry.find('/');
    if (path == std::string_view::npos || path == 0) continue;
    described.emplace(entry.substr(path), entry.substr(0, path - 1));
  }
  return described;
}

struct MachineFacts {
  Described nodes;
  Described services;
  Described containers;
  Described files;
};

Result<MachineFacts> facts_of(Node& node) {
  std::vector<ApiRequest> questions;
  for (const char* target : {"/containers/json?all=1", "/services", "/nodes"})
    questions.push_back(ApiRequest{.target = target});
  LAB_TRY(const std::vector<ApiReply> answers, call_api(node.session(), questions));
  SshCommand find;
  find.command = list_files;
  LAB_TRY(const std::string files, node.session().exec_checked(find));
  MachineFacts facts;
  facts.containers = describe_containers(answers[0].json());
  facts.services = describe_services(answers[1].json());
  facts.nodes = describe_nodes(answers[2].json());
  facts.files = describe_files(files);
  return facts;
}

json::object to_json(const Described& described) {
  json::object object;
  for (const auto& [name, words] : described) object[name] = words;
  return object;
}

Described described_from(const json::object& object, std::string_view key) {
  Described described;
  const json::value* found = object.if_contains(key);
  if (found == nullptr || !found->is_object()) return described;
  for (const auto& [name, words] : found->get_object())
    if (words.is_string()) described.emplace(name, words.get_string());
  return described;
}

std::map<std::string, Described> by_machine_from(const json::object& object, std::string_view key) {
  std::map<std::string, Described> result;
  const json::value* found = object.if_contains(key);
  if (found == nullptr || !found->is_object()) return result;
  for (const auto& entry : found->get_object())
    result[std::string(entry.key())] = described_from(found->get_object(), entry.key());
  return result;
}

void compare_one(const std::string& where, const std::string& kind, const Described& before,
                 const Described& after, std::vector<Change>& changes) {
  for (const auto& [name, words] : before) {
    const auto now = after.find(name);
    if (now == after.end()) {
      changes.push_back({where, kind, name, words, ""});
    } else if (now->second != words) {
      changes.push_back({where, kind, name, words, now->second});
    }
  }
  for (const auto& [name, words] : after)
    if (!before.contains(name)) changes.push_back({where, kind, name, "", words});
}

}  // namespace

Result<LabFacts> collect_facts(std::map<std::string, Node>& nodes) {
  std::map<std::string, std::future<Result<MachineFacts>>> answers;
  for (auto& [name, node] : nodes) {
    answers[name] =
        std::async(std::launch::async, [machine = &node] { return facts_of(*machine); });
  }
  LabFacts facts;
  for (auto& [name, answer] : answers) {
    LAB_TRY(MachineFacts one, answer.get());
    facts.containers[name] = std::move(one.containers);
    facts.files[name] = std::move(one.files);
    if (!one.nodes.empty()) facts.nodes = std::move(one.nodes);
    if (!one.services.empty()) facts.services = std::move(one.services);
  }
  return facts;
}

Result<Described> swarm_nodes(Node& manager) {
  std::vector<ApiRequest> questions;
  questions.push_back(ApiRequest{.target = "/nodes"});
  LAB_TRY(const std::vector<ApiReply> answers, call_api(manager.session(), questions));
  return describe_nodes(answers.front().json());
}

json::object to_json(const LabFacts& facts) {
  json::object containers;
  for (const auto& [machine, described] : facts.containers)
    containers[machine] = to_json(described);
  json::object files;
  for (const auto& [machine, described] : facts.files) files[machine] = to_json(described);
  return {{"nodes", to_json(facts.nodes)},
          {"services", to_json(facts.services)},
          {"containers", std::move(containers)},
          {"files", std::move(files)}};
}

LabFacts facts_from_json(const json::object& object) {
  return {described_from(object, "nodes"), described_from(object, "services"),
          by_machine_from(object, "containers"), by_machine_from(object, "files")};
}

std::vector<Change> compare(const LabFacts& before, const LabFacts& after) {
  std::vector<Change> changes;
  compare_one("swarm", "node", before.nodes, after.nodes, changes);
  compare_one("swarm", "service", before.services, after.services, changes);
  for (const auto& [machine, files] : before.files) {
    const auto containers_now = after.containers.find(machine);
    const auto files_now = after.files.find(machine);
    if (files_now == after.files.end() || containers_now == after.containers.end()) {
      changes.push_back({machine, "machine", machine, "there", ""});
      continue;
    }
    const auto containers = before.containers.find(machine);
    compare_one(machine, "container",
                containers == before.containers.end() ? Described() : containers->second,
                containers_now->second, changes);
    compare_one(machine, "file", files, files_now->second, changes);
  }
  for (const auto& [machine, files] : after.files)
    if (!before.files.contains(machine))
      changes.push_back({machine, "machine", machine, "", "there"});
  return changes;
}

}  // namespace lab::provision
