#include <fmt/core.h>
#include <sys/statvfs.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include <boost/json.hpp>
#include <cstdlib>
#include <fstream>

#include "base/file.hpp"
#include "base/subprocess.hpp"
#include "cli/lab/common.hpp"
#include "cli/lab/verbs.hpp"
#include "vm/kvm.hpp"

namespace lab::cli {

namespace fs = std::filesystem;
namespace json = boost::json;

namespace {

enum class Verdict : std::uint8_t { good, note, bad };

struct Finding {
  std::string name;
  Verdict verdict = Verdict::good;
  std::string text;
  std::string remedy;  // a command or a sentence; empty when all is well
};

bool in_path(std::string_view program) {
  const char* path = std::getenv("PATH");
  // Where administrators' programs lie, which an ordinary user's PATH may lack.
  std::string folders = fmt::format("{}:/usr/sbin:/sbin", path == nullptr ? "" : path);
  std::size_t at = 0;
  while (at <= folders.size()) {
    std::size_t end = std::min(folders.find(':', at), folders.size());
    std::string candidate = folders.substr(at, end - at) + "/" + std::string(program);
    if (access(candidate.c_str(), X_OK) == 0) return true;
    at = end + 1;
  }
  return false;
}

void check_programs(std::vector<Finding>& findings) {
  struct Needed {
    const char* program;
    const char* package;
    const char* use;
  };
  static const std::vector<Needed> needed{
      {"qemu-system-x86_64", "qemu-system-x86", "runs the machines"},
      {"qemu-img", "qemu-utils", "makes their disks"},
      {"libvirtd", "libvirt-daemon", "manages the machines"},
      {"virsh", "libvirt-clients", "shows what libvirt knows"},
      {"mmdebstrap", "mmdebstrap", "builds guest and container images"},
      {"mke2fs", "e2fsprogs", "makes the guest image's file system"},
      {"ssh", "openssh-client", "lab ssh, exec and cp"},
      {"newuidmap", "uidmap", "builds images as an ordinary user"}};
  for (const Needed& entry : needed) {
    Finding finding{entry.program};
    finding.text = entry.use;
    if (!in_path(entry.program)) {
      finding.verdict = Verdict::bad;
      finding.text = fmt::format("missing; it {}", entry.use);
      finding.remedy = fmt::format("apt-get install {}", entry.package);
    }
    findings.push_back(std::move(finding));
  }
}

void check_kvm(std::vector<Finding>& findings) {
  Finding finding{"/dev/kvm"};
  finding.text = "machines run at full speed";
  if (access("/dev/kvm", R_OK | W_OK) != 0) {
    finding.verdict = Verdict::note;
    bool there = access("/dev/kvm", F_OK) == 0;
    finding.text = there ? "cannot be opened: machines are emulated, about ten times slower"
                         : "is not there: machines are emulated, about ten times slower";
    finding.remedy = there ? "adduser $USER kvm, and log in again"
                           : "switch on virtualisation in the firmware, or nested virtualisation";
  } else if (vm::KvmStatus kvm = vm::probe_kvm(); !kvm.usable) {
    finding.verdict = Verdict::note;
    finding.text = fmt::format("does not work ({}): machines are emulated", kvm.reason);
    finding.remedy = "switch on nested virtualisation on the host of this machine";
  }
  findings.push_back(std::move(finding));
}

// An ordinary user builds images in a user namespace, which needs ranges of subordinate ids.
void check_subordinate_ids(std::vector<Finding>& findings) {
  if (geteuid() == 0) return;
  Finding finding{"/etc/subuid"};
  finding.text = "images can be built without root";
  auto ids = read_file("/etc/subuid");
  const char* user = std::getenv("USER");
  std::string prefix = fmt::format("{}:", user == nullptr ? "" : user);
  std::string number = fmt::format("{}:", geteuid());
  if (!ids || ("\n" + *ids).find("\n" + prefix) == std::string::npos) {
    if (!ids || ("\n" + *ids).find("\n" + number) == std::string::npos) {
      finding.verdict = Verdict::bad;
      finding.text = "has no range for this user: images cannot be built without root";
      finding.remedy = "usermod --add-subuids 100000-165535 --add-subgids 100000-165535 $USER";
    }
  }
  findings.push_back(std::move(finding));
}

void check_room(std::vector<Finding>& findings) {
  constexpr std::uint64_t gib = std::uint64_t{1} << 30;
  fs::path folder = provision::cache_root();
  while (!fs::exists(folder) && folder.has_parent_path() && folder != folder.root_path())
    folder = folder.parent_path();
  struct statvfs disk {};
  if (statvfs(folder.c_str(), &disk) == 0) {
    std::uint64_t free = std::uint64_t{disk.f_bavail} * disk.f_frsize;
    Finding finding{"disk"};
    finding.text = fmt::format("{} GiB free below {}", free / gib, folder.string());
    if (free < 8 * gib) {
      finding.verdict = Verdict::bad;
      finding.remedy = "images and machines need about 8 GiB; LAB_CACHE names another folder";
    }
    findings.push_back(std::move(finding));
  }
  auto text = read_file("/proc/meminfo");
  std::size_t at = text ? text->find("MemAvailable:") : std::string::npos;
  if (at != std::string::npos) {
    std::uint64_t free = std::strtoull(text->c_str() + at + 13, nullptr, 10) * 1024;
    Finding finding{"memory"};
    finding.text = fmt::format("{} GiB available", free / gib);
    if (free < 4 * gib) {
      finding.verdict = Verdict::note;
      finding.remedy = "three machines take about 1 GiB each; fewer or smaller ones take less";
    }
    findings.push_back(std::move(finding));
  }
}

void check_daemons(std::vector<Finding>& findings) {
  for (const char* name : {"labd", "engined", "swarmd"}) {
    Finding finding{name};
    finding.text = "is beside lab";
    if (access((program_folder() / name).c_str(), X_OK) != 0) {
      finding.verdict = Verdict::bad;
      finding.text = fmt::format("is not in {}", program_folder().string());
      finding.remedy = "./lab builds it";
    }
    findings.push_back(std::move(finding));
  }
}

void print(const std::vector<Finding>& findings, bool as_json) {
  json::array list;
  for (const Finding& finding : findings) {
    std::string_view word = finding.verdict == Verdict::good   ? "ok"
                            : finding.verdict == Verdict::note ? "note"
                                                               : "missing";
    if (as_json) {
      list.push_back(json::object{{"name", finding.name},
                                  {"verdict", word},
                                  {"text", finding.text},
                                  {"remedy", finding.remedy}});
      continue;
    }
    fmt::print("{:<8} {:<20} {}\n", word, finding.name, finding.text);
    if (!finding.remedy.empty()) fmt::print("{:<29} -> {}\n", "", finding.remedy);
  }
  if (as_json) fmt::print("{}\n", json::serialize(list));
}

}  // namespace

void add_doctor(CLI::App& app, Globals& globals) {
  CLI::App* verb =
      app.add_subcommand("doctor", "What this host lacks to run a lab, and how to get it");
  verb->callback([&globals] {
    std::vector<Finding> findings;
    check_programs(findings);
    check_kvm(findings);
    check_subordinate_ids(findings);
    check_room(findings);
    check_daemons(findings);
    print(findings, globals.json);
    for (const Finding& finding : findings)
      if (finding.verdict == Verdict::bad) throw Exit{1};
  });
}

}  // namespace lab::cli
