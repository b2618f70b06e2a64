#include "engine/container/mounts.hpp"

#include <algorithm>

#include "engine/util/json.hpp"

namespace lab::engine::container {

namespace json = boost::json;

namespace {

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  for (;;) {
    std::size_t end = text.find(separator);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

Error invalid_bind(std::string_view spec) {
  return make_error(Code::invalid_argument, "invalid volume specification: '{}'", spec);
}

Error invalid_mount(std::string_view type, std::string_view why) {
  return make_error(Code::invalid_argument, "invalid mount config for type \"{}\": {}", type, why);
}

bool is_one_of(std::string_view word, std::initializer_list<std::string_view> words) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

bool is_propagation(std::string_view word) {
  return is_one_of(word, {"private", "rprivate", "shared", "rshared", "slave", "rslave"});
}

// The third part of a bind: at most one word of each kind.
struct Mode {
  bool read_only = false;
  bool no_copy = false;
  std::string propagation;
};

Result<Mode> parse_mode(std::string_view text) {
  Mode mode;
  if (text.empty()) return mode;
  int access = 0;
  int labels = 0;
  int copies = 0;
  int consistencies = 0;
  bool valid = true;
  for (std::string_view word : split(text, ',')) {
    if (is_one_of(word, {"ro", "rw"})) {
      ++access;
      mode.read_only = word == "ro";
    } else if (is_one_of(word, {"z", "Z"})) {
      ++labels;
    } else if (word == "nocopy") {
      ++copies;
      mode.no_copy = true;
    } else if (is_one_of(word, {"consistent", "cached", "delegated", "default"})) {
      ++consistencies;
    } else if (is_propagation(word) && mode.propagation.empty()) {
      mode.propagation = word;
    } else {
      valid = false;
    }
  }
  if (!valid || access > 1 || labels > 1 || copies > 1 || consistencies > 1)
    return make_error(Code::invalid_argument, "invalid mode: {}", text);
  return mode;
}

// What every form is checked for, as Docker's "mount config".
Result<void> check_mount(const MountPoint& mount, std::string_view target) {
  if (target.empty()) return invalid_mount(mount.type, "field Target must not be empty");
  if (clean_path(target) == "/")
    return invalid_mount(mount.type, "invalid specification: destination can't be '/'");
  if (target.front() != '/') {
    return invalid_mount(
        mount.type, fmt::format("invalid mount path: '{}' mount path must be absolute", target));
  }
  if (mount.type == "bind") {
    if (mount.source.empty()) return invalid_mount(mount.type, "field Source must not be empty");
    if (mount.source.front() != '/') {
      return invalid_mount(
          mount.type,
          fmt::format("invalid mount path: '{}' mount path must be absolute", mount.source));
    }
    if (!mount.propagation.empty() && !is_propagation(mount.propagation)) {
      return invalid_mount(mount.type,
                           fmt::format("invalid propagation mode: {}", mount.propagation));
    }
    return {};
  }
  if (mount.type == "volume") {
    if (mount.name.empty() && !mount.writable) {
      return invalid_mount(mount.type, "must not set ReadOnly mode when using anonymous volumes");
    }
    return {};
  }
  if (mount.type != "tmpfs") return invalid_mount(mount.type, "mount type unknown");
  if (!mount.source.empty()) return invalid_mount(mount.type, "field Source must not be specified");
  return {};
}

// `used`: whether the request has options of a kind that the mount is not.
Result<void> check_options(const MountPoint& mount, bool bind, bool volume, bool tmpfs) {
  for (const auto& [given, type, field] :
       {std::tuple{bind, "bind", "BindOptions"}, std::tuple{volume, "volume", "VolumeOptions"},
        std::tuple{tmpfs, "tmpfs", "TmpfsOptions"}}) {
    if (given && mount.type != type)
      return invalid_mount(mount.type, fmt::format("field {} must not be specified", field));
  }
  return {};
}

Result<void> complete_bind(MountPoint& mount, const std::vector<std::string_view>& parts) {
  std::string_view target = parts.size() == 1 ? parts[0] : parts[1];
  Mode mode;
  if (parts.size() == 3) {
    LAB_TRY(mode, parse_mode(parts[2]));
  }
  bool named = parts.size() > 1;
  mount.type = named && parts[0].front() == '/' ? "bind" : "volume";
  (mount.type == "bind" ? mount.source : mount.name) = named ? parts[0] : "";
  mount.anonymous = mount.type == "volume" && !named;
  mount.writable = !mode.read_only;
  mount.copy_from_image = !mode.no_copy;
  mount.propagation = mode.propagation;
  mount.make_source = true;
  mount.mode = parts.size() == 3 ? parts[2] : mount.type == "volume" && named ? "z" : "";
  LAB_CHECK(check_mount(mount, target));
  LAB_CHECK(check_options(mount, !mode.propagation.empty(), mode.no_copy, false));
  mount.destination = clean_path(target);
  if (mount.type != "bind") return {};
  mount.source = clean_path(mount.source);
  if (mount.propagation.empty()) mount.propagation = "rprivate";
  return {};
}

Result<MountPoint> parse_bind(const std::string& spec) {
  std::vector<std::string_view> parts = split(spec, ':');
  if (parts.size() > 3 || parts.front().empty() || (parts.size() == 2 && parts[1].empty()))
    return invalid_bind(spec);
  if (parts.size() == 2 && parts[1].front() != '/' && parse_mode(parts[1]))
    return invalid_bind(spec);
  MountPoint mount;
  if (parts.size() == 3) LAB_CHECK(parse_mode(parts[2]));
  if (Result<void> done = complete_bind(mount, parts); !done) {
    Error error = std::move(done).error();
    return error.wrap("invalid volume specification: '{}'", spec);
  }
  return mount;
}

std::string tmpfs_options(const json::object& given) {
  const json::object& options = object_of(given, "TmpfsOptions");
  std::string text;
  if (std::int64_t size = integer_of(options, "SizeBytes"); size > 0)
    text = fmt::format("size={}", size);
  if (std::int64_t mode = integer_of(options, "Mode"); mode > 0)
    text += fmt::format("{}mode={:o}", text.empty() ? "" : ",", mode);
  return text;
}

void apply_volume_options(MountPoint& mount, const json::object& given) {
  const json::object& options = object_of(given, "VolumeOptions");
  const json::object& driver = object_of(options, "DriverConfig");
  mount.copy_from_image = !flag_of(options, "NoCopy");
  mount.volume_labels = object_of(options, "Labels");
  mount.volume_driver = text_of(driver, "Name");
  mount.volume_options = object_of(driver, "Options");
}

Result<MountPoint> parse_mount(const json::object& given) {
  MountPoint mount;
  mount.type = text_of(given, "Type");
  std::string target = text_of(given, "Target");
  std::string source = text_of(given, "Source");
  (mount.type == "volume" ? mount.name : mount.source) = source;
  mount.writable = !flag_of(given, "ReadOnly");
  mount.propagation = text_of(object_of(given, "BindOptions"), "Propagation");
  LAB_CHECK(check_mount(mount, target));
  auto has = [&given](const char* key) {
    const json::value* options = given.if_contains(key);
    return options != nullptr && options->is_object();
  };
  LAB_CHECK(check_options(mount, has("BindOptions"), has("VolumeOptions"), has("TmpfsOptions")));
  mount.destination = clean_path(target);
  if (mount.type == "bind") {
    mount.source = clean_path(source);
    if (mount.propagation.empty()) mount.propagation = "rprivate";
  } else if (mount.type == "volume") {
    mount.anonymous = source.empty();
    mount.mode = "z";
    apply_volume_options(mount, given);
  } else {
    mount.options = tmpfs_options(given);
  }
  return mount;
}

bool has_destination(const std::vector<MountPoint>& mounts, const std::string& destination) {
  return std::any_of(mounts.begin(), mounts.end(), [&destination](const MountPoint& mount) {
    return mount.destination == destination;
  });
}

Result<void> add_unique(std::vector<MountPoint>& mounts, MountPoint mount) {
  if (has_destination(mounts, mount.destination)) {
    return make_error(Code::invalid_argument, "Duplicate mount point: {}", mount.destination);
  }
  mounts.push_back(std::move(mount));
  return {};
}

}  // namespace

std::string clean_path(std::string_view path) {
  std::vector<std::string_view> kept;
  for (std::string_view part : split(path, '/')) {
    if (part.empty() || part == ".") continue;
    if (part != "..") {
      kept.push_back(part);
    } else if (!kept.empty()) {
      kept.pop_back();
    }
  }
  std::string clean;
  for (std::string_view part : kept) {
    clean += '/';
    clean += part;
  }
  return clean.empty() ? "/" : clean;
}

json::object to_json(const MountPoint& mount) {
  return json::object{{"type", mount.type},
                      {"name", mount.name},
                      {"source", mount.source},
                      {"destination", mount.destination},
                      {"mode", mount.mode},
                      {"propagation", mount.propagation},
                      {"options", mount.options},
                      {"writable", mount.writable},
                      {"anonymous", mount.anonymous},
                      {"copy_from_image", mount.copy_from_image},
                      {"make_source", mount.make_source},
                      {"listed", mount.listed}};
}

MountPoint mount_from_json(const json::object& document) {
  MountPoint mount;
  mount.type = text_of(document, "type");
  mount.name = text_of(document, "name");
  mount.source = text_of(document, "source");
  mount.destination = text_of(document, "destination");
  mount.mode = text_of(document, "mode");
  mount.propagation = text_of(document, "propagation");
  mount.options = text_of(document, "options");
  mount.writable = flag_of(document, "writable", true);
  mount.anonymous = flag_of(document, "anonymous");
  mount.copy_from_image = flag_of(document, "copy_from_image", true);
  mount.make_source = flag_of(document, "make_source");
  mount.listed = flag_of(document, "listed", true);
  return mount;
}

json::object mount_settings(const MountPoint& mount) {
  json::object settings{{"Type", mount.type}};
  if (!mount.name.empty()) settings["Name"] = mount.name;
  settings["Source"] = mount.source;
  settings["Destination"] = mount.destination;
  if (mount.type == "volume") settings["Driver"] = "local";
  settings["Mode"] = mount.mode;
  settings["RW"] = mount.writable;
  settings["Propagation"] = mount.propagation;
  return settings;
}

Result<bool> volumes_from_read_only(std::string_view mode) {
  LAB_TRY(Mode parsed, parse_mode(mode));
  return parsed.read_only;
}

Result<std::vector<MountPoint>> requested_mounts(const json::object& config,
                                                 const json::object& host_config) {
  std::vector<MountPoint> mounts;
  const std::string driver = text_of(host_config, "VolumeDriver");
  for (const std::string& spec : texts_of(host_config, "Binds")) {
    Result<MountPoint> mount = parse_bind(spec);
    if (!mount) return Error{Code::internal, mount.error().message};  // as dockerd's status is
    if (mount->type == "volume") mount->volume_driver = driver;
    LAB_CHECK(add_unique(mounts, std::move(*mount)));
  }
  for (const json::value& item : array_of(host_config, "Mounts")) {
    if (!item.is_object()) continue;
    LAB_TRY(MountPoint mount, parse_mount(item.get_object()));
    LAB_CHECK(add_unique(mounts, std::move(mount)));
  }
  for (const auto& item : object_of(host_config, "Tmpfs")) {
    MountPoint mount;
    mount.type = "tmpfs";
    if (clean_path(item.key()) == "/" && item.key().starts_with('/')) {
      return make_error(Code::invalid_argument, "invalid specification: destination can't be '/'");
    }
    if (!item.key().starts_with('/')) {
      return make_error(Code::invalid_argument,
                        "invalid mount path: '{}' mount path must be absolute",
                        std::string_view(item.key()));
    }
    mount.destination = clean_path(item.key());
    if (item.value().is_string()) mount.options = std::string(item.value().get_string());
    mount.listed = false;
    LAB_CHECK(add_unique(mounts, std::move(mount)));
  }
  for (const auto& item : object_of(config, "Volumes")) {
    MountPoint mount;
    mount.type = "volume";
    mount.destination = clean_path(item.key());
    mount.anonymous = true;
    mount.volume_driver = driver;
    mount.from_config = true;
    if (!has_destination(mounts, mount.destination)) mounts.push_back(std::move(mount));
  }
  return mounts;
}

}  // namespace lab::engine::container
