#include "provision/labfile/build.hpp"

#include <regex>
#include <set>

#include "provision/labfile/address.hpp"
#include "provision/labfile/suggest.hpp"

namespace lab::provision {

namespace fs = std::filesystem;

namespace {

constexpr std::uint64_t memory_mib_min = 256;
constexpr std::uint64_t memory_mib_max = std::uint64_t{1} << 20;
constexpr std::uint64_t disk_mib_min = 1024;
constexpr std::uint64_t disk_mib_max = std::uint64_t{16} << 20;
constexpr std::size_t machines_max = 250;

// The parts of a machine that [defaults] can set too.
struct MachineDefaults {
  std::uint64_t memory_mib = 768;
  unsigned cpus = 1;
  std::optional<Placed<std::int64_t>> cpus_max;
  std::uint64_t disk_mib = 8192;
  std::vector<SyncConfig> sync;
  std::vector<ProvisionFile> files;
  std::vector<std::string> commands;
};

class Builder {
 public:
  Builder(const toml::table& root, const fs::path& path, Problems& problems)
      : root_(root, "", problems), problems_(problems) {
    labfile_.path = path;
  }

  Labfile build() {
    read_name();
    read_image();
    read_libvirt();
    read_defaults();
    read_machines();
    read_network();
    read_registries();
    read_swarm();
    read_forwards();
    read_scenarios();
    root_.finish();
    return std::move(labfile_);
  }

 private:
  void read_name();
  void read_image();
  void read_libvirt();
  void read_defaults();
  void read_machines();
  void read_machine(const std::string& name, const toml::table& table);
  void read_labels(TableReader& reader, MachineConfig& machine);
  void read_sizes(TableReader& reader, MachineDefaults& sizes);
  void read_provision(TableReader& reader, MachineDefaults& into);
  void read_sync(TableReader& reader, std::vector<SyncConfig>& into);
  void read_file(TableReader& reader, std::vector<ProvisionFile>& into);
  std::string read_target(TableReader& reader, std::string_view key);
  void read_network();
  void check_subnet(const Placed<std::string>& written);
  void place_addresses();
  void read_link(TableReader& reader);
  void read_quality(TableReader& reader, netsim::LinkQuality& quality);
  void read_registries();
  void read_swarm();
  void read_forwards();
  void read_scenarios();

  // The name of a machine that exists, else a problem.
  std::optional<std::string> machine_name(TableReader& reader, std::string_view key,
                                          bool any_allowed = false);
  bool machine_exists(const Placed<std::string>& name, const std::string& path);
  fs::path beside_labfile(const std::string& path) const {
    return (labfile_.path.parent_path() / path).lexically_normal();
  }

  TableReader root_;
  Problems& problems_;
  Labfile labfile_;
  Subnet subnet_{(192U << 24) | (168U << 16) | (50U << 8), 24};
  MachineDefaults defaults_;
  std::map<std::string, Placed<std::string>> addresses_;  // as written, by machine
  std::map<std::string, toml::source_position> machine_places_;
};

void Builder::read_name() {
  static const std::regex valid("[a-z]([a-z0-9-]{0,29}[a-z0-9])?");
  root_.require("name", "\"my-lab\"");
  auto name = root_.text("name");
  if (!name) return;
  if (!std::regex_match(name->value, valid)) {
    problems_.add(name->at,
                  "name is \"{}\"; lower-case letters, digits and hyphens are allowed, at most 31, "
                  "a letter first",
                  name->value);
  }
  labfile_.name = name->value;
}

void Builder::read_image() {
  labfile_.image.recipe = "debian-12";
  const toml::table* table = root_.table("image");
  if (table == nullptr) return;
  TableReader reader(*table, "image", problems_);
  auto recipe = reader.word("recipe", vm::recipe_names());
  auto cloud = reader.text("cloud");
  auto checksum = reader.text("sha256");
  if (reader.has("recipe") == reader.has("cloud")) {
    problems_.add(reader.at(), "[image] needs either recipe or cloud{}",
                  reader.has("recipe") ? ", not both" : "");
  }
  if (recipe) labfile_.image.recipe = recipe->value;
  if (cloud) {
    bool is_url = cloud->value.starts_with("http://") || cloud->value.starts_with("https://");
    labfile_.image.recipe.clear();
    labfile_.image.cloud_image = is_url ? cloud->value : beside_labfile(cloud->value).string();
    if (is_url && !reader.has("sha256"))
      problems_.add(cloud->at, "image.cloud is a URL; image.sha256 must say its checksum");
    if (std::error_code error; !is_url && !fs::is_regular_file(labfile_.image.cloud_image, error))
      problems_.add(cloud->at, "image.cloud: there is no file {}", labfile_.image.cloud_image);
  }
  if (checksum) {
    static const std::regex valid("[0-9a-f]{64}");
    if (!std::regex_match(checksum->value, valid))
      problems_.add(checksum->at, "image.sha256 must be 64 hexadecimal digits in lower case");
    if (!reader.has("cloud"))
      problems_.add(checksum->at, "image.sha256 goes with image.cloud only");
    labfile_.image.sha256 = checksum->value;
  }
  reader.finish();
}

void Builder::read_libvirt() {
  const toml::table* table = root_.table("libvirt");
  if (table == nullptr) return;
  TableReader reader(*table, "libvirt", problems_);
  if (auto uri = reader.text("uri")) {
    static const std::set<std::string> local{"qemu:///session", "qemu:///system"};
    if (!local.contains(uri->value)) {
      problems_.add(uri->at,
                    "libvirt.uri is \"{}\"; \"qemu:///session\" or \"qemu:///system\" is needed "
                    "(the hypervisor must be on this host)",
                    uri->value);
    }
    labfile_.libvirt_uri = uri->value;
  }
  reader.finish();
}

void Builder::read_sizes(TableReader& reader, MachineDefaults& sizes) {
  if (auto memory = reader.size_mib("memory", memory_mib_min, memory_mib_max))
    sizes.memory_mib = *memory;
  if (auto cpus = reader.integer("cpus", 1, 64)) sizes.cpus = static_cast<unsigned>(cpus->value);
  if (auto most = reader.integer("cpus_max", 1, 64)) sizes.cpus_max = most;
  if (auto disk = reader.size_mib("disk", disk_mib_min, disk_mib_max)) sizes.disk_mib = *disk;
}

// A path on a machine, without a slash at its end.
std::string Builder::read_target(TableReader& reader, std::string_view key) {
  reader.require(key, "\"/path/on/the/machine\"");
  const auto written = reader.text(key);
  if (!written) return {};
  std::string path = fs::path(written->value).lexically_normal().string();
  if (!path.starts_with('/') || path.ends_with('/')) {
    problems_.add(written->at, "{} is \"{}\"; an absolute path of a file or folder is needed",
                  reader.path_of(key), written->value);
  }
  return path;
}

// A machine's own entry takes the place of one of [defaults] for the same folder.
void Builder::read_sync(TableReader& reader, std::vector<SyncConfig>& into) {
  SyncConfig sync;
  reader.require("from", "\".\"");
  if (const auto from = reader.text("from")) {
    sync.from = beside_labfile(from->value);
    if (std::error_code error; !fs::is_directory(sync.from, error))
      problems_.add(from->at, "{}: there is no folder {}", reader.path_of("from"),
                    sync.from.string());
  }
  sync.to = read_target(reader, "to");
  for (const auto& pattern : reader.texts("exclude")) sync.exclude.push_back(pattern.value);
  reader.finish();
  const auto same = [&sync](const SyncConfig& other) { return other.to == sync.to; };
  const auto known = std::find_if(into.begin(), into.end(), same);
  const auto inherited = std::find_if(defaults_.sync.begin(), defaults_.sync.end(), same);
  if (known == into.end()) {
    into.push_back(std::move(sync));
  } else if (&into != &defaults_.sync && inherited != defaults_.sync.end() &&
             *known == *inherited) {
    *known = std::move(sync);
  } else {
    problems_.add(reader.at("to"), "{} is \"{}\", which is the target of another entry already",
                  reader.path_of("to"), sync.to);
  }
}

void Builder::read_file(TableReader& reader, std::vector<ProvisionFile>& into) {
  ProvisionFile file;
  auto source = reader.text("source");
  auto content = reader.text("content");
  file.target = read_target(reader, "target");
  auto mode = reader.text("mode");
  if (reader.has("source") == reader.has("content")) {
    problems_.add(reader.at(), "{} needs either source or content{}", reader.path(),
                  reader.has("source") ? ", not both" : "");
  }
  if (source) {
    file.source = beside_labfile(source->value);
    if (std::error_code error; !fs::exists(file.source, error))
      problems_.add(source->at, "{}: there is no file {}", reader.path_of("source"),
                    file.source.string());
  }
  if (content) file.content = content->value;
  if (mode) {
    static const std::regex valid("0?[0-7]{3}");
    if (std::regex_match(mode->value, valid)) {
      file.mode = static_cast<unsigned>(std::stoul(mode->value, nullptr, 8));
    } else {
      problems_.add(mode->at, "{} is \"{}\"; octal digits are needed, like \"0644\"",
                    reader.path_of("mode"), mode->value);
    }
  }
  reader.finish();
  into.push_back(std::move(file));
}

void Builder::read_provision(TableReader& reader, MachineDefaults& into) {
  std::size_t index = 0;
  for (const toml::table* table : reader.tables("sync")) {
    TableReader sync(*table, fmt::format("{}[{}]", reader.path_of("sync"), index++), problems_);
    read_sync(sync, into.sync);
  }
  index = 0;
  for (const toml::table* table : reader.tables("files")) {
    TableReader file(*table, fmt::format("{}[{}]", reader.path_of("files"), index++), problems_);
    read_file(file, into.files);
  }
  for (const auto& command : reader.texts("commands")) into.commands.push_back(command.value);
}

void Builder::read_defaults() {
  const toml::table* table = root_.table("defaults");
  if (table == nullptr) return;
  TableReader reader(*table, "defaults", problems_);
  read_sizes(reader, defaults_);
  read_provision(reader, defaults_);
  reader.finish();
}

void Builder::read_machines() {
  const toml::table* table = root_.table("machines");
  if (table == nullptr || table->empty()) {
    if (!root_.has("machines") || table != nullptr)
      problems_.add(root_.at("machines"), "there are no machines: add [machines.vm1]");
    return;
  }
  struct Entry {
    toml::source_position at;
    std::string name;
    const toml::table* table;
  };
  std::vector<Entry> entries;
  for (const auto& [key, node] : *table) {
    if (const auto* machine = node.as_table()) {
      entries.push_back({key.source().begin, std::string(key.str()), machine});
    } else {
      problems_.add(node.source().begin, "machines.{} is {}; a table is needed: [machines.{}]",
                    key.str(), type_name(node), key.str());
    }
  }
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return std::pair(a.at.line, a.at.column) < std::pair(b.at.line, b.at.column);
  });
  if (entries.size() > machines_max) {
    problems_.add(root_.at("machines"), "there are {} machines; at most {} are allowed",
                  entries.size(), machines_max);
  }
  for (const Entry& entry : entries) {
    static const std::regex valid("[a-z0-9]([a-z0-9-]{0,29}[a-z0-9])?");
    if (!std::regex_match(entry.name, valid)) {
      problems_.add(entry.at,
                    "machine name \"{}\": lower-case letters, digits and hyphens are allowed, at "
                    "most 31, no hyphen at the ends",
                    entry.name);
    } else if (entry.name == "localhost") {
      problems_.add(entry.at, "a machine cannot be called localhost");
    }
    machine_places_[entry.name] = entry.at;
    read_machine(entry.name, *entry.table);
  }
}

void Builder::read_labels(TableReader& reader, MachineConfig& machine) {
  const toml::table* table = reader.table("labels");
  if (table == nullptr) return;
  for (const auto& [key, node] : *table) {
    std::string name(key.str());
    if (name.empty() || name.find_first_of("= \t\n") != std::string::npos) {
      problems_.add(key.source().begin, "{}: label name \"{}\" is empty or has a space or \"=\"",
                    reader.path_of("labels"), name);
    }
    if (const auto* value = node.as_string()) {
      machine.labels[name] = value->get();
    } else {
      problems_.add(node.source().begin, "{}.{} is {}; a string is needed",
                    reader.path_of("labels"), name, type_name(node));
    }
  }
}

void Builder::read_machine(const std::string& name, const toml::table& table) {
  TableReader reader(table, "machines." + name, problems_);
  MachineConfig machine;
  machine.name = name;
  if (auto address = reader.text("address")) addresses_.emplace(name, std::move(*address));
  if (auto role = reader.word("role", {"manager", "worker", "none"})) {
    machine.role = role->value == "manager"  ? Role::manager
                   : role->value == "worker" ? Role::worker
                                             : Role::none;
  }
  read_labels(reader, machine);
  MachineDefaults own = defaults_;
  read_sizes(reader, own);
  read_provision(reader, own);
  machine.memory_mib = own.memory_mib;
  machine.cpus = machine.cpus_max = own.cpus;
  if (own.cpus_max) {
    machine.cpus_max = static_cast<unsigned>(own.cpus_max->value);
    if (machine.cpus_max < machine.cpus)
      problems_.add(own.cpus_max->at, "cpus_max is {}, below the {} processors of {}",
                    machine.cpus_max, machine.cpus, name);
  }
  machine.disk_mib = own.disk_mib;
  machine.sync = std::move(own.sync);
  machine.files = std::move(own.files);
  machine.commands = std::move(own.commands);
  reader.finish();
  labfile_.machines.push_back(std::move(machine));
}

void Builder::check_subnet(const Placed<std::string>& written) {
  std::optional<Subnet> subnet = parse_subnet(written.value);
  if (!subnet || subnet->prefix < 8 || subnet->prefix > 29) {
    problems_.add(written.at,
                  "network.subnet is \"{}\"; an IPv4 network is needed, like \"192.168.50.0/24\", "
                  "with a prefix of 8 to 29",
                  written.value);
    return;
  }
  struct Taken {
    Subnet subnet;
    std::string_view use;
  };
  static const std::vector<Taken> taken{
      {*parse_subnet("10.0.2.0/24"), "the machines' management network"},
      {*parse_subnet("127.0.0.0/8"), "loopback"},
      {*parse_subnet("172.17.0.0/16"), "the containers' default bridge"},
      {*parse_subnet("224.0.0.0/3"), "multicast and reserved addresses"}};
  for (const Taken& other : taken) {
    if (subnet->overlaps(other.subnet))
      problems_.add(written.at, "network.subnet is \"{}\", which meets {}", written.value,
                    other.use);
  }
  subnet_ = *subnet;
  labfile_.subnet = written.value;
}

void Builder::place_addresses() {
  std::map<std::uint32_t, std::string> used;
  for (MachineConfig& machine : labfile_.machines) {
    auto found = addresses_.find(machine.name);
    if (found == addresses_.end()) continue;
    const auto& [text, at] = found->second;
    std::optional<std::uint32_t> address = parse_ipv4(text);
    if (!address) {
      problems_.add(at, "machines.{}.address is \"{}\"; an IPv4 address is needed", machine.name,
                    text);
    } else if (!subnet_.contains(*address)) {
      problems_.add(at, "machines.{}.address {} is not in the subnet {}", machine.name, text,
                    labfile_.subnet);
    } else if (*address == subnet_.network || *address == subnet_.broadcast()) {
      problems_.add(at, "machines.{}.address {} is the {} address of {}", machine.name, text,
                    *address == subnet_.network ? "network" : "broadcast", labfile_.subnet);
    } else if (auto [other, is_new] = used.emplace(*address, machine.name); !is_new) {
      problems_.add(at, "machines.{}.address {} is that of {} already", machine.name, text,
                    other->second);
    }
    if (address) machine.address = format_ipv4(*address);
  }
  // Machines without an address get the next free one, in the file's order.
  std::uint32_t next = subnet_.network + 2;
  for (MachineConfig& machine : labfile_.machines) {
    if (!machine.address.empty() || addresses_.contains(machine.name)) continue;
    while (used.contains(next)) ++next;
    if (next >= subnet_.broadcast()) {
      problems_.add(machine_places_[machine.name], "the subnet {} has no address left for {}",
                    labfile_.subnet, machine.name);
      return;
    }
    machine.address = format_ipv4(next);
    used.emplace(next, machine.name);
  }
}

void Builder::read_quality(TableReader& reader, netsim::LinkQuality& quality) {
  bool sound = true;
  for (std::string_view key : netsim::quality_keys()) {
    std::optional<Placed<std::string>> value;
    if (key == "limit") {
      if (auto limit = reader.integer(key, 1, 1'000'000))
        value = Placed<std::string>{std::to_string(limit->value), limit->at};
    } else {
      value = reader.text(key);
    }
    if (!value) continue;
    if (auto set = netsim::set_quality(quality, key, value->value); !set) {
      problems_.add(value->at, "{}: {}", reader.path_of(key), set.error().message);
      sound = false;
    }
  }
  if (!sound) return;
  if (auto whole = netsim::check_quality(quality); !whole)
    problems_.add(reader.at(), "{}", whole.error().message);
}

void Builder::read_link(TableReader& reader) {
  int forms = int{reader.has("machine")} + int{reader.has("between")} +
              int{reader.has("from") || reader.has("to")};
  if (forms != 1) {
    problems_.add(
        reader.at(),
        "a link is named by machine = \"vm1\", by between = [\"vm1\", \"vm2\"], or by from "
        "and to: exactly one of them");
  }
  std::vector<std::pair<std::string, std::string>> directions;
  if (auto machine = machine_name(reader, "machine", true)) {
    directions.emplace_back(*machine, "*");
    if (*machine != "*") directions.emplace_back("*", *machine);
  }
  auto between = reader.texts("between");
  if (reader.has("between")) {
    if (between.size() != 2) {
      problems_.add(reader.at("between"), "{} needs two machines", reader.path_of("between"));
    } else if (bool first = machine_exists(between[0], reader.path_of("between"));
               machine_exists(between[1], reader.path_of("between")) && first) {
      if (between[0].value == between[1].value)
        problems_.add(between[1].at, "{} names {} twice", reader.path_of("between"),
                      between[0].value);
      directions.emplace_back(between[0].value, between[1].value);
      directions.emplace_back(between[1].value, between[0].value);
    }
  }
  auto from = machine_name(reader, "from", true);
  auto to = machine_name(reader, "to", true);
  if (reader.has("from") != reader.has("to"))
    problems_.add(reader.at(), "a link with from needs to, and the other way round");
  if (from && to) directions.emplace_back(*from, *to);
  netsim::LinkQuality quality;
  read_quality(reader, quality);
  reader.finish();
  for (auto& [source, target] : directions) {
    for (const LinkConfig& other : labfile_.links) {
      if (other.from == source && other.to == target)
        problems_.add(reader.at(), "the link from {} to {} is there already", source, target);
    }
    labfile_.links.push_back({source, target, quality});
  }
}

void Builder::read_network() {
  if (const toml::table* table = root_.table("network")) {
    TableReader reader(*table, "network", problems_);
    if (auto subnet = reader.text("subnet")) check_subnet(*subnet);
    std::size_t index = 0;
    for (const toml::table* link : reader.tables("links")) {
      TableReader link_reader(*link, fmt::format("network.links[{}]", index++), problems_);
      read_link(link_reader);
    }
    reader.finish();
  }
  place_addresses();
}

bool Builder::machine_exists(const Placed<std::string>& name, const std::string& path) {
  if (labfile_.find(name.value) != nullptr) return true;
  std::vector<std::string> names;
  for (const MachineConfig& machine : labfile_.machines) names.push_back(machine.name);
  std::string meant = nearest_word(name.value, names);
  problems_.add(name.at, "{} is \"{}\"; there is no such machine{}", path, name.value,
                meant.empty() ? "" : fmt::format(" (did you mean \"{}\"?)", meant));
  return false;
}

std::optional<std::string> Builder::machine_name(TableReader& reader, std::string_view key,
                                                 bool any_allowed) {
  auto name = reader.text(key);
  if (!name) return std::nullopt;
  if (any_allowed && name->value == "*") return name->value;
  if (!machine_exists(*name, reader.path_of(key))) return std::nullopt;
  return name->value;
}

void Builder::read_registries() {
  std::set<std::pair<std::string, std::uint16_t>> used;
  std::size_t index = 0;
  for (const toml::table* table : root_.tables("registries")) {
    TableReader reader(*table, fmt::format("registries[{}]", index++), problems_);
    RegistryConfig registry;
    reader.require("machine", "\"vm1\"");
    auto machine = machine_name(reader, "machine");
    auto port = reader.integer("port", 1, 65535);
    if (auto tls = reader.boolean("tls")) registry.tls = *tls;
    registry.port = port ? static_cast<std::uint16_t>(port->value) : (registry.tls ? 443 : 5000);
    static const std::map<int, std::string_view> reserved{{22, "SSH"}, {2377, "the swarm"}};
    if (auto taken = reserved.find(registry.port); taken != reserved.end()) {
      problems_.add(port->at, "{} is {}, the port of {}", reader.path_of("port"), registry.port,
                    taken->second);
    }
    if (machine) {
      registry.machine = *machine;
      if (!used.emplace(*machine, registry.port).second)
        problems_.add(reader.at(), "there is a registry on {} port {} already", *machine,
                      registry.port);
    }
    reader.finish();
    labfile_.registries.push_back(registry);
  }
}

void Builder::read_swarm() {
  const toml::table* table = root_.table("swarm");
  if (table == nullptr) return;
  TableReader reader(*table, "swarm", problems_);
  labfile_.swarm = reader.boolean("form").value_or(true);
  auto leader = reader.text("leader");
  for (const MachineConfig& machine : labfile_.machines) {
    if (machine.role == Role::manager && labfile_.swarm_leader.empty())
      labfile_.swarm_leader = machine.name;
  }
  if (leader && machine_exists(*leader, "swarm.leader")) {
    if (labfile_.find(leader->value)->role != Role::manager)
      problems_.add(leader->at, "swarm.leader is {}, whose role is not manager", leader->value);
    labfile_.swarm_leader = leader->value;
  }
  if (labfile_.swarm && labfile_.swarm_leader.empty() && !labfile_.machines.empty()) {
    problems_.add(reader.at(),
                  "the swarm has no manager: give a machine role = \"manager\", or leave [swarm] "
                  "out");
  }
  reader.finish();
}

void Builder::read_forwards() {
  std::set<std::uint16_t> used;
  std::size_t index = 0;
  for (const toml::table* table : root_.tables("forward")) {
    TableReader reader(*table, fmt::format("forward[{}]", index++), problems_);
    ForwardConfig forward;
    for (std::string_view key : {"host", "port"}) reader.require(key, "8080");
    reader.require("machine", "\"vm1\"");
    if (auto machine = machine_name(reader, "machine")) forward.machine = *machine;
    if (auto port = reader.integer("port", 1, 65535))
      forward.port = static_cast<std::uint16_t>(port->value);
    if (auto host = reader.integer("host", 1, 65535)) {
      forward.host_port = static_cast<std::uint16_t>(host->value);
      if (!used.insert(forward.host_port).second)
        problems_.add(host->at, "port {} of the host is forwarded already", forward.host_port);
    }
    reader.finish();
    labfile_.forwards.push_back(forward);
  }
}

void Builder::read_scenarios() {
  for (const auto& scenario : root_.texts("scenarios")) {
    fs::path path = beside_labfile(scenario.value);
    if (std::error_code error; !fs::is_regular_file(path, error))
      problems_.add(scenario.at, "scenarios: there is no file {}", path.string());
    labfile_.scenarios.push_back(std::move(path));
  }
}

}  // namespace

Labfile build_labfile(const toml::table& root, const fs::path& path, Problems& problems) {
  return Builder(root, path, problems).build();
}

}  // namespace lab::provision
