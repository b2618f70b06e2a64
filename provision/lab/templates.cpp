#include "provision/lab/templates.hpp"

#include <boost/json.hpp>

#include "base/file.hpp"
#include "provision/image_layout.hpp"
#include "provision/lab/state.hpp"
#include "provision/node/swarm.hpp"

namespace lab::provision {

namespace asio = boost::asio;
namespace json = boost::json;

namespace {

// What runs in a template (vm/seed.cpp): `prepare` before engined starts, and `warm` after the
// kernel has dropped its caches, so that what is read there lies in memory. engined goes on in
// every machine that starts from the template.
constexpr std::string_view prepare_path = "/var/lib/lab/template/prepare";
constexpr std::string_view warm_path = "/var/lib/lab/template/warm";
constexpr std::string_view layout_path = "/var/lib/lab/template/images";

constexpr std::string_view prepare_script =
    "/usr/local/bin/engined --preload /var/lib/lab/template/images 2>/dev/console\n";
constexpr std::string_view warm_script =
    "rm -r /var/lib/lab/template\n"
    "find /usr/local/bin /var/lib/engined/image/layers -type f -exec cat {} + >/dev/null\n"
    "swarmd --version\n"
    "ask() { curl -s --unix-socket /var/run/docker.sock http://localhost/$1; }\n"
    "until ask _ping; do sleep 0.1; done\n"
    "ask info; ask images/json; ask containers/registry/json\n";
// Not among what engined takes over when it is told of the machine's own file.
constexpr std::string_view engine_config = R"({"experimental":true})";

vm::SeedFile seed_file(std::string path, std::string content) {
  return {std::move(path), std::move(content), 0644, {}};
}

// An image of the catalogue as a layout of its own.
class SeedLayout {
 public:
  explicit SeedLayout(const ImageLayout& layout) : layout_(layout) {}

  Result<std::vector<vm::SeedFile>> of(std::string_view repository, std::string_view tag) {
    LAB_TRY(const std::vector<TaggedImage> images, layout_.images());
    for (const TaggedImage& image : images) {
      if (image.repository != repository || image.tag != tag) continue;
      LAB_CHECK(add_image(image));
      return std::move(files_);
    }
    return make_error(Code::not_found, "the catalogue has no {}:{}", repository, tag);
  }

 private:
  Result<void> add_image(const TaggedImage& image) {
    LAB_TRY(const std::string text, add_blob(image.manifest.digest));
    boost::system::error_code error;
    const json::value manifest = json::parse(text, error);
    const json::value* config = manifest.find_pointer("/config/digest", error);
    const json::value* layers = manifest.find_pointer("/layers", error);
    if (config == nullptr || layers == nullptr)
      return make_error(Code::internal, "{} is no manifest", image.manifest.digest);
    LAB_CHECK(add_blob(config->as_string()));
    for (const json::value& layer : layers->as_array())
      LAB_CHECK(add_blob(layer.at("digest").as_string()));
    const json::object index{{"schemaVersion", 2},
                             {"manifests",
                              {{{"mediaType", image.media_type},
                                {"digest", image.manifest.digest},
                                {"size", image.manifest.size_bytes}}}}};
    files_.push_back(seed_file(std::string(layout_path) + "/index.json", json::serialize(index)));
    return {};
  }

  Result<std::string> add_blob(std::string_view digest) {
    LAB_TRY(std::string content, read_file(layout_.blob_path(digest), std::size_t{512} << 20));
    const std::string_view hex = digest.substr(digest.find(':') + 1);
    vm::SeedFile file = seed_file(fmt::format("{}/blobs/sha256/{}", layout_path, hex), content);
    file.sha256 = hex;
    files_.push_back(std::move(file));
    return content;
  }

  const ImageLayout& layout_;
  std::vector<vm::SeedFile> files_;
};

}  // namespace

Templates::Templates(vm::Provider& provider, std::filesystem::path cache_root,
                     const std::vector<NodeFile>& common, Progress& progress,
                     asio::any_io_executor executor)
    : provider_(provider),
      cache_root_(std::move(cache_root)),
      progress_(progress),
      executor_(std::move(executor)) {
  for (const NodeFile& file : common)
    common_.push_back({file.path, *file.content, file.mode, file.sha256});
}

std::vector<vm::SeedFile> Templates::beyond(const std::vector<vm::SeedFile>& seed) const {
  std::vector<vm::SeedFile> rest;
  for (const vm::SeedFile& file : seed) {
    const bool there = std::any_of(common_.begin(), common_.end(), [&](const vm::SeedFile& other) {
      return other.path == file.path && other.content == file.content && other.mode == file.mode;
    });
    if (!there) rest.push_back(file);
  }
  return rest;
}

asio::awaitable<Result<vm::MachineTemplate>> Templates::ensure(vm::MachineSpec like) {
  like.seed_files = common_;
  // Without it the registry is pulled as any other image.
  const ImageLayout catalogue(catalogue_directory(cache_root_));
  if (auto image = SeedLayout(catalogue).of(registry_repository, registry_tag)) {
    like.seed_files.push_back(seed_file(std::string(prepare_path), std::string(prepare_script)));
    for (vm::SeedFile& file : *image) like.seed_files.push_back(std::move(file));
  }
  like.seed_files.push_back(seed_file(std::string(warm_path), std::string(warm_script)));
  like.seed_files.push_back(seed_file("/etc/docker/daemon.json", std::string(engine_config)));
  // For a moment only: those of the machine itself may be held by the lab's daemon already.
  std::vector<std::uint16_t> taken;
  for (std::uint16_t* port : {&like.lab_nic.nic_port, &like.lab_nic.switch_port}) {
    LAB_CO_TRY(*port, choose_port(Transport::udp, taken));
    taken.push_back(*port);
  }
  LAB_CO_TRY(like.ssh_port, choose_port(Transport::tcp, taken));
  co_return co_await vm::ensure_template(provider_, std::move(like), cache_root_,
                                         [this](std::string line) { progress_.step("lab", line); });
}

asio::awaitable<std::optional<vm::MachineTemplate>> Templates::of(const vm::MachineSpec& machine) {
  const Size size{machine.memory_mib, machine.cpus, machine.cpus_max, machine.disk_mib};
  auto [at, is_new] = entries_.try_emplace(size, executor_);
  Entry& entry = at->second;
  if (!is_new) {
    co_await entry.known.wait();
    co_return entry.found;
  }
  Result<vm::MachineTemplate> made = co_await ensure(machine);
  if (made) {
    entry.found = std::move(*made);
  } else if (made.error().code != Code::unsupported) {
    progress_.notice(fmt::format("there is no template ({}): machines boot", made.error().message));
  }
  entry.known.fire();
  co_return entry.found;
}

}  // namespace lab::provision
