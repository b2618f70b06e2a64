#include "provision/node/files.hpp"

#include <sys/stat.h>

#include <boost/json.hpp>
#include <charconv>

#include "base/digest.hpp"
#include "base/file.hpp"

namespace lab::provision {

namespace fs = std::filesystem;
namespace json = boost::json;

namespace {

// KillMode=process: containers live on when the engine stops or dies.
constexpr std::string_view engined_unit = R"([Unit]
Description=Container engine
Wants=lab-modules.service
After=network.target nftables.service lab-modules.service
StartLimitIntervalSec=0

[Service]
ExecStart=/usr/local/bin/engined
Restart=always
RestartSec=500ms
KillMode=process
Delegate=yes
TasksMax=infinity
LimitNOFILE=1048576
OOMScoreAdjust=-500
)";

// One modprobe loads what nft would otherwise have the kernel load module by module, each with a
// program of its own and the whole transaction begun again. A machine that started from a template
// has them: there not even modprobe runs.
constexpr std::string_view modules_unit = R"([Unit]
Description=Kernel modules of the container engine
DefaultDependencies=no
ConditionPathExists=|!/sys/module/nft_fib_ipv4
ConditionPathExists=|!/sys/module/nft_masq
ConditionPathExists=|!/sys/module/overlay

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=-/sbin/modprobe -a -q bridge veth overlay nf_tables nft_chain_nat nft_nat nft_masq \
  nft_ct nft_fib_ipv4
)";

constexpr std::string_view swarmd_unit = R"([Unit]
Description=Swarm agent
After=network.target engined.service
StartLimitIntervalSec=0

[Service]
ExecStart=/usr/local/bin/swarmd
Restart=always
RestartSec=500ms
LimitNOFILE=1048576
OOMScoreAdjust=-500
)";

// A plain file does what `systemctl enable` does with links.
constexpr std::string_view wanted_units = R"([Unit]
Wants=engined.service swarmd.service
)";

std::vector<std::string_view> words_of(std::string_view line, std::size_t count) {
  std::vector<std::string_view> words;
  while (words.size() + 1 < count) {
    std::size_t space = line.find(' ');
    if (space == std::string_view::npos) return {};
    words.push_back(line.substr(0, space));
    line.remove_prefix(space + 1);
  }
  words.push_back(line);
  return words;
}

template <typename Number>
bool read_number(std::string_view text, Number& number, int base = 10) {
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, base);
  return error == std::errc{} && end == text.data() + text.size();
}

template <typename Take>
void each_line(std::string_view text, Take take) {
  while (!text.empty()) {
    std::size_t end = std::min(text.find('\n'), text.size());
    take(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

Result<void> add_host_file(const fs::path& source, std::string target, std::optional<unsigned> mode,
                           std::vector<NodeFile>& into) {
  auto content = read_file(source, std::size_t{512} << 20);
  if (!content) return content.error().wrap("{}", source.string());
  std::error_code ignored;
  auto own = static_cast<unsigned>(fs::status(source, ignored).permissions()) & 0777U;
  into.push_back(make_node_file(std::move(target), std::move(*content), mode.value_or(own)));
  return {};
}

Result<void> add_host_folder(const ProvisionFile& file, std::vector<NodeFile>& into) {
  std::vector<fs::path> found;
  std::error_code error;
  for (fs::recursive_directory_iterator at(file.source, error), end; at != end && !error;
       at.increment(error)) {
    if (at->is_regular_file(error)) found.push_back(at->path());
  }
  if (error) {
    return make_error(Code::invalid_argument, "{}: {}", file.source.string(), error.message());
  }
  std::sort(found.begin(), found.end());
  for (const fs::path& path : found) {
    fs::path target = fs::path(file.target) / path.lexically_relative(file.source);
    LAB_CHECK(add_host_file(path, target.string(), file.mode, into));
  }
  return {};
}

}  // namespace

NodeFile make_node_file(std::string path, std::string content, unsigned mode) {
  std::string digest = sha256_hex(content);
  return NodeFile{std::move(path), mode, std::make_shared<const std::string>(std::move(content)),
                  std::move(digest)};
}

Result<NodePrograms> load_programs(const fs::path& folder) {
  NodePrograms programs;
  for (const char* name : {"engined", "swarmd"}) {
    auto content = read_file(folder / name, std::size_t{512} << 20);
    if (!content) {
      return content.error().wrap("the program {} for the machines is missing beside `lab`", name);
    }
    programs.files.push_back(
        make_node_file(std::string("/usr/local/bin/") + name, std::move(*content), 0755));
  }
  return programs;
}

std::string registry_key(const RegistryConfig& registry) {
  return fmt::format("{}:{}", registry.machine, registry.port);
}

std::string registry_folder(const Labfile& labfile, const RegistryConfig& registry) {
  bool first = !labfile.registries.empty() &&
               registry_key(labfile.registries.front()) == registry_key(registry);
  return first ? "/vagrant/tmp" : fmt::format("/etc/lab/registry-{}", registry.port);
}

std::string daemon_json(const Labfile& labfile, const NodeConfig& config) {
  json::object daemon{
      {"registry-mirrors", json::array{fmt::format("http://10.0.2.2:{}", config.mirror_port)}},
      {"experimental", true}};  // the tutorial squashes images
  json::array insecure;
  for (const RegistryConfig& registry : labfile.registries) {
    const MachineConfig* machine = labfile.find(registry.machine);
    if (!registry.tls && machine != nullptr)
      insecure.emplace_back(fmt::format("{}:{}", machine->address, registry.port));
  }
  if (!insecure.empty()) daemon["insecure-registries"] = std::move(insecure);
  return json::serialize(daemon) + "\n";
}

std::vector<NodeFile> unit_files() {
  std::vector<NodeFile> files;
  for (const auto& [path, content] :
       {std::pair{"/etc/systemd/system/engined.service", engined_unit},
        std::pair{"/etc/systemd/system/lab-modules.service", modules_unit},
        std::pair{"/etc/systemd/system/swarmd.service", swarmd_unit},
        std::pair{"/etc/systemd/system/multi-user.target.d/lab.conf", wanted_units}})
    files.push_back(make_node_file(path, std::string(content), 0644));
  return files;
}

std::vector<NodeFile> node_files(const Labfile& labfile, const MachineConfig& machine,
                                 const NodeConfig& config) {
  std::vector<NodeFile> files = unit_files();
  auto add = [&files](std::string path, std::string_view content, unsigned mode) {
    files.push_back(make_node_file(std::move(path), std::string(content), mode));
  };
  add("/etc/docker/daemon.json", daemon_json(labfile, config), 0644);
  for (const RegistryConfig& registry : labfile.registries) {
    const MachineConfig* home = labfile.find(registry.machine);
    if (!registry.tls || home == nullptr) continue;
    add(fmt::format("/etc/docker/certs.d/{}:{}/ca.crt", home->address, registry.port),
        config.authority_pem, 0644);
    auto certificate = config.registry_certificates.find(registry_key(registry));
    if (home->name != machine.name || certificate == config.registry_certificates.end()) continue;
    std::string folder = registry_folder(labfile, registry);
    add(folder + "/domain.crt", certificate->second.certificate_pem, 0644);
    add(folder + "/domain.key", certificate->second.private_key_pem, 0600);
  }
  return files;
}

Result<std::vector<NodeFile>> provision_files(const MachineConfig& machine) {
  std::vector<NodeFile> files;
  for (const ProvisionFile& file : machine.files) {
    std::error_code error;
    if (file.content) {
      files.push_back(make_node_file(file.target, *file.content, file.mode.value_or(0644)));
    } else if (fs::is_directory(file.source, error)) {
      LAB_CHECK(add_host_folder(file, files));
    } else {
      LAB_CHECK(add_host_file(file.source, file.target, file.mode, files));
    }
  }
  return files;
}

Manifest parse_manifest(std::string_view text) {
  Manifest manifest;
  each_line(text, [&manifest](std::string_view line) {
    auto words = words_of(line, 5);
    ManifestEntry entry;
    if (words.empty() || !read_number(words[1], entry.size) ||
        !read_number(words[2], entry.mtime) || !read_number(words[3], entry.mode, 8)) {
      return;
    }
    entry.sha256 = words[0];
    manifest[std::string(words[4])] = std::move(entry);
  });
  return manifest;
}

std::string format_manifest(const Manifest& manifest) {
  std::string text;
  for (const auto& [path, entry] : manifest) {
    text +=
        fmt::format("{} {} {} {:o} {}\n", entry.sha256, entry.size, entry.mtime, entry.mode, path);
  }
  return text;
}

Manifest parse_stat(std::string_view text) {
  Manifest found;
  each_line(text, [&found](std::string_view line) {
    auto words = words_of(line, 4);
    ManifestEntry entry;
    if (words.empty() || !read_number(words[0], entry.size) ||
        !read_number(words[1], entry.mtime) || !read_number(words[2], entry.mode, 8)) {
      return;
    }
    found[std::string(words[3])] = std::move(entry);
  });
  return found;
}

std::vector<NodeFile> files_to_send(const std::vector<NodeFile>& wanted,
                                    const std::vector<const Manifest*>& manifests,
                                    const Manifest& found) {
  auto is_there = [&](const NodeFile& file, const Manifest& manifest) {
    auto known = manifest.find(file.path);
    auto present = found.find(file.path);
    return known != manifest.end() && present != found.end() &&
           known->second.sha256 == file.sha256 && known->second.mode == file.mode &&
           present->second.size == known->second.size &&
           present->second.mtime == known->second.mtime && present->second.mode == file.mode;
  };
  std::vector<NodeFile> missing;
  for (const NodeFile& file : wanted) {
    bool known = std::any_of(manifests.begin(), manifests.end(),
                             [&](const Manifest* manifest) { return is_there(file, *manifest); });
    if (!known) missing.push_back(file);
  }
  return missing;
}

Manifest seed_manifest(const std::vector<NodeFile>& files) {
  Manifest manifest;
  for (const NodeFile& file : files)
    manifest[file.path] = {file.sha256, file.content->size(), vm::seed_file_mtime, file.mode};
  return manifest;
}

std::vector<vm::SeedFile> seed_files(const std::vector<NodeFile>& files) {
  std::vector<vm::SeedFile> seeds;
  for (const NodeFile& file : files) seeds.push_back({file.path, *file.content, file.mode});
  seeds.push_back({std::string(seed_manifest_path), format_manifest(seed_manifest(files)), 0644});
  return seeds;
}

}  // namespace lab::provision
