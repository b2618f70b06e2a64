#include "engine/volume/volumes.hpp"

#include <boost/json/serialize.hpp>

#include "base/file.hpp"
#include "base/log.hpp"
#include "base/random.hpp"
#include "engine/container/names.hpp"
#include "engine/util/json.hpp"

namespace lab::engine::volume {

namespace json = boost::json;

namespace {

constexpr std::string_view kind = "volume";

json::value value_or_null(const json::object& document, std::string_view key) {
  const json::value* found = document.if_contains(key);
  return found != nullptr ? *found : json::value(nullptr);
}

}  // namespace

Result<void> Volumes::load() {
  LAB_CHECK(make_directories(root_, 0701));
  LAB_TRY(auto documents, store_.all(kind));
  for (auto& [name, text] : documents) {
    LAB_TRY(json::object document, parse_object(text));
    if (flag_of(document, "removing")) {
      if (Result<void> erased = erase(name); !erased)
        log::warning("removing volume {}: {}", name, erased.error().message);
      continue;
    }
    Volume volume;
    volume.name = name;
    volume.created = text_of(document, "created");
    volume.labels = value_or_null(document, "labels");
    volume.options = value_or_null(document, "options");
    volume.anonymous = flag_of(document, "anonymous");
    LAB_CHECK(make_folder(name));
    volumes_[name] = std::move(volume);
  }
  return {};
}

Result<const Volume*> Volumes::create(const std::string& wanted, const json::value& labels,
                                      const json::value& options, bool anonymous,
                                      const std::string& driver) {
  std::string name = wanted.empty() ? secure_random_hex(32) : wanted;
  if (!driver.empty() && driver != "local" && driver != "default") {
    return make_error(Code::not_found,
                      "create {}: error looking up volume plugin {}: plugin \"{}\" not found", name,
                      driver, driver);
  }
  if (auto found = volumes_.find(name); found != volumes_.end()) return &found->second;
  if (!container::is_valid_name(name)) {
    if (name.size() == 1) {
      return make_error(Code::invalid_argument,
                        "create {}: volume name is too short, names should be at least two "
                        "alphanumeric characters",
                        name);
    }
    return make_error(Code::invalid_argument,
                      "create {0}: \"{0}\" includes invalid characters for a local volume name, "
                      "only \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass a "
                      "host directory, use absolute path",
                      name);
  }
  if (Result<MountOptions> parsed = parse_mount_options(options); !parsed)
    return std::move(parsed).error().wrap("create {}", name);
  Volume volume;
  volume.name = name;
  std::string now = format_rfc3339(clock_.wall_now());
  volume.created = now.substr(0, 19) + "Z";
  volume.labels = labels;
  volume.options = options;
  volume.anonymous = anonymous || wanted.empty();
  json::object document{{"created", volume.created},
                        {"labels", volume.labels},
                        {"options", volume.options},
                        {"anonymous", volume.anonymous}};
  // The document first: a crash leaves no folder that nobody knows.
  LAB_CHECK(store_.put(kind, name, json::serialize(document)));
  LAB_CHECK(make_folder(name));
  return &(volumes_[name] = std::move(volume));
}

Result<void> Volumes::make_folder(const std::string& name) const {
  LAB_CHECK(make_directories(root_ / name, 0701));
  return make_directories(folder(name), 0755);
}

const Volume* Volumes::find(const std::string& name) const {
  auto found = volumes_.find(name);
  return found == volumes_.end() ? nullptr : &found->second;
}

MountOptions Volumes::mount_options(const std::string& name) const {
  const Volume* volume = find(name);
  Result<MountOptions> parsed =
      volume != nullptr ? parse_mount_options(volume->options) : MountOptions{};
  return parsed ? *parsed : MountOptions{};
}

std::vector<const Volume*> Volumes::list() const {
  std::vector<const Volume*> all;
  for (const auto& [name, volume] : volumes_) all.push_back(&volume);
  return all;
}

Result<void> Volumes::remove(const std::string& name) {
  if (!volumes_.contains(name)) return make_error(Code::not_found, "get {}: no such volume", name);
  // The commit point. The document goes last, so that a crash leaves no folder that nobody knows.
  LAB_CHECK(store_.put(kind, name, R"({"removing": true})"));
  volumes_.erase(name);
  return erase(name);
}

Result<void> Volumes::erase(const std::string& name) {
  // What is mounted there is not the volume's to delete.
  LAB_CHECK(mounts_.release(folder(name), ""));
  std::error_code failure;
  std::filesystem::remove_all(root_ / name, failure);
  if (failure) {
    return make_error(Code::internal, "removing {}: {}", (root_ / name).string(),
                      failure.message());
  }
  return store_.remove(kind, name);
}

json::object Volumes::settings(const Volume& volume) const {
  return json::object{{"CreatedAt", volume.created},
                      {"Driver", "local"},
                      {"Labels", volume.labels},
                      {"Mountpoint", folder(volume.name).string()},
                      {"Name", volume.name},
                      {"Options", volume.options},
                      {"Scope", "local"}};
}

}  // namespace lab::engine::volume
