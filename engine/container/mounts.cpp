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

Error invalid_bind(std::string_view spec, std::string_view why = {}) {
  return make_error(Code::invalid_argument, "invalid volume specification: '{}'{}{}", spec,
                    why.empty() ? "" : ": ", why);
}

Result<void> check_destination(std::string_view spec, std::string_view destination) {
  if (destination.empty() || destination.front() != '/') {
    return invalid_bind(spec, fmt::format("invalid mount config for type \"bind\": invalid mount "
                                          "path: '{}' mount path must be absolute",
                                          destination));
  }
  if (clean_path(destination) == "/") {
    return make_error(Code::invalid_argument,
                      "invalid volume specification: '{}': invalid specification: destination "
                      "can't be '/'",
                      spec);
  }
  return {};
}

Result<void> apply_mode(MountPoint& mount, std::string_view mode) {
  for (std::string_view word : split(mode, ',')) {
    if (word == "ro") {
      mount.writable = false;
    } else if (word == "rw" || word == "z" || word == "Z" || word == "consistent" ||
               word == "cached" || word == "delegated") {
    } else if (word == "nocopy") {
      mount.copy_from_image = false;
    } else if (word == "private" || word == "rprivate" || word == "shared" || word == "rshared" ||
               word == "slave" || word == "rslave") {
      mount.propagation = word;
    } else {
      return make_error(Code::invalid_argument, "invalid mode: {}", mode);
    }
  }
  mount.mode = mode;
  return {};
}

Result<MountPoint> parse_bind(const std::string& spec) {
  std::vector<std::string_view> parts = split(spec, ':');
  if (parts.size() > 3 || parts.front().empty()) return invalid_bind(spec);
  MountPoint mount;
  if (parts.size() == 1) {  // a destination alone: an anonymous volume
    LAB_CHECK(check_destination(spec, parts[0]));
    mount.type = "volume";
    mount.anonymous = true;
    mount.destination = clean_path(parts[0]);
    return mount;
  }
  LAB_CHECK(check_destination(spec, parts[1]));
  mount.destination = clean_path(parts[1]);
  if (parts[0].front() == '/') {
    mount.type = "bind";
    mount.source = clean_path(parts[0]);
    mount.propagation = "rprivate";
    mount.make_source = true;
  } else {
    mount.type = "volume";
    mount.name = parts[0];
    mount.mode = "z";
  }
  if (parts.size() == 3) LAB_CHECK(apply_mode(mount, parts[2]));
  return mount;
}

Error invalid_mount(std::string_view type, std::string_view why) {
  return make_error(Code::invalid_argument, "invalid mount config for type \"{}\": {}", type, why);
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

Result<MountPoint> parse_mount(const json::object& given) {
  MountPoint mount;
  mount.type = text_of(given, "Type");
  std::string target = text_of(given, "Target");
  std::string source = text_of(given, "Source");
  if (target.empty()) return invalid_mount(mount.type, "field Target must not be empty");
  if (target.front() != '/') {
    return invalid_mount(
        mount.type, fmt::format("invalid mount path: '{}' mount path must be absolute", target));
  }
  mount.destination = clean_path(target);
  if (mount.destination == "/")
    return invalid_mount(mount.type, "invalid specification: destination can't be '/'");
  mount.writable = !flag_of(given, "ReadOnly");
  if (mount.type == "bind") {
    if (source.empty()) return invalid_mount(mount.type, "field Source must not be empty");
    if (source.front() != '/') {
      return invalid_mount(
          mount.type, fmt::format("invalid mount path: '{}' mount path must be absolute", source));
    }
    mount.source = clean_path(source);
    mount.propagation = text_of(object_of(given, "BindOptions"), "Propagation");
    if (mount.propagation.empty()) mount.propagation = "rprivate";
  } else if (mount.type == "volume") {
    mount.name = source;
    mount.anonymous = source.empty();
    mount.mode = "z";
    mount.copy_from_image = !flag_of(object_of(given, "VolumeOptions"), "NoCopy");
  } else if (mount.type == "tmpfs") {
    if (!source.empty()) return invalid_mount(mount.type, "field Source must not be specified");
    mount.options = tmpfs_options(given);
  } else {
    return make_error(Code::invalid_argument, "mount type unknown: \"{}\"", mount.type);
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

Result<std::vector<MountPoint>> requested_mounts(const json::object& config,
                                                 const json::object& host_config) {
  std::vector<MountPoint> mounts;
  for (const std::string& spec : texts_of(host_config, "Binds")) {
    LAB_TRY(MountPoint mount, parse_bind(spec));
    LAB_CHECK(add_unique(mounts, std::move(mount)));
  }
  for (const json::value& item : array_of(host_config, "Mounts")) {
    if (!item.is_object()) continue;
    LAB_TRY(MountPoint mount, parse_mount(item.get_object()));
    LAB_CHECK(add_unique(mounts, std::move(mount)));
  }
  for (const auto& item : object_of(host_config, "Tmpfs")) {
    MountPoint mount;
    mount.type = "tmpfs";
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
    if (!has_destination(mounts, mount.destination)) mounts.push_back(std::move(mount));
  }
  return mounts;
}

}  // namespace lab::engine::container
