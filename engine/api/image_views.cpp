#include "engine/api/image_views.hpp"

#include <fnmatch.h>

#include <algorithm>
#include <charconv>
#include <ctime>

#include "engine/container/config.hpp"
#include "engine/util/json.hpp"

namespace lab::engine::api {

namespace json = boost::json;
using image::Image;
using image::ImagePtr;
using image::ImageStore;

namespace {

constexpr std::int64_t go_zero_time_seconds = -62135596800;

json::value array_or_null(const std::vector<std::string>& texts) {
  if (texts.empty()) return nullptr;
  return to_array(texts);
}

bool matches_reference(const std::vector<std::string>& patterns, const image::Reference& name) {
  return std::any_of(patterns.begin(), patterns.end(), [&](const std::string& pattern) {
    return ::fnmatch(pattern.c_str(), name.familiar().c_str(), FNM_PATHNAME) == 0 ||
           ::fnmatch(pattern.c_str(), name.familiar_name().c_str(), FNM_PATHNAME) == 0;
  });
}

// Of times as images have them; those of one second differ in their fractions.
bool is_older(const std::string& time, const std::string& than) {
  return std::pair(unix_seconds(time), time) < std::pair(unix_seconds(than), than);
}

// Creation times of the images that filters "before" and "since" name.
struct TimeWindow {
  std::optional<std::string> before;
  std::optional<std::string> since;
};

Result<TimeWindow> time_window(const ImageStore& store, const FilterSet& filters) {
  TimeWindow window;
  for (const std::string& name : filters.values("before")) {
    LAB_TRY(const ImagePtr image, store.resolve(name));
    window.before = image->created;
  }
  for (const std::string& name : filters.values("since")) {
    LAB_TRY(const ImagePtr image, store.resolve(name));
    window.since = image->created;
  }
  return window;
}

json::object summary(const Image& image, const std::vector<std::string>& tags,
                     const std::vector<std::string>& digests) {
  json::object labels;
  for (const auto& [key, value] : labels_of(image)) labels[key] = value;
  json::object line;
  line["Containers"] = -1;
  line["Created"] = unix_seconds(image.created);
  line["Id"] = image.id;
  const json::object& config = image.run_config();
  const bool labelled = config.contains("Labels") && config.at("Labels").is_object();
  line["Labels"] = labelled ? json::value(std::move(labels)) : json::value(nullptr);
  line["ParentId"] = image.parent;
  line["RepoDigests"] = array_or_null(digests);
  line["RepoTags"] = array_or_null(tags);
  line["SharedSize"] = -1;
  line["Size"] = image.size_bytes;
  line["VirtualSize"] = image.size_bytes;
  return line;
}

json::object graph_driver(const ImageStore& store, const Image& image) {
  json::object driver;
  driver["Data"] = nullptr;
  driver["Name"] = "overlay2";
  const auto folders = store.lower_directories(image);
  if (folders.has_error() || folders->empty()) return driver;
  json::object data;
  std::vector<std::string> lower;
  for (std::size_t i = 1; i < folders->size(); ++i) lower.push_back((*folders)[i].string());
  if (!lower.empty()) data["LowerDir"] = fmt::format("{}", fmt::join(lower, ":"));
  data["UpperDir"] = folders->front().string();
  driver["Data"] = std::move(data);
  return driver;
}

json::value last_tag_time(const Image& image) {
  return json::value(image.last_tagged.empty() ? zero_rfc3339 : image.last_tagged);
}

}  // namespace

std::int64_t unix_seconds(std::string_view text) {
  std::tm parts{};
  const std::string copy(text);
  const char* rest = ::strptime(copy.c_str(), "%Y-%m-%dT%H:%M:%S", &parts);
  if (rest == nullptr) return go_zero_time_seconds;
  std::int64_t seconds = ::timegm(&parts);
  const std::size_t sign = copy.find_first_of("+-", static_cast<std::size_t>(rest - copy.c_str()));
  if (sign != std::string::npos && copy.size() >= sign + 6) {
    int hours = 0;
    int minutes = 0;
    std::from_chars(copy.data() + sign + 1, copy.data() + sign + 3, hours);
    std::from_chars(copy.data() + sign + 4, copy.data() + sign + 6, minutes);
    const std::int64_t offset = hours * 3600 + minutes * 60;
    seconds -= copy[sign] == '-' ? -offset : offset;
  }
  return seconds;
}

std::map<std::string, std::string> labels_of(const Image& image) {
  std::map<std::string, std::string> labels;
  for (const auto& [key, value] : object_of(image.run_config(), "Labels")) {
    if (value.is_string()) labels[std::string(key)] = value.get_string();
  }
  return labels;
}

Result<json::array> list_images(const ImageStore& store, const FilterSet& filters, bool all) {
  LAB_CHECK(filters.check_names({"dangling", "label", "before", "since", "reference"}));
  LAB_TRY(const bool dangling_only, filters.flag("dangling", false));
  LAB_TRY(const TimeWindow window, time_window(store, filters));
  std::map<std::string, std::vector<image::Reference>> names;
  for (ImageStore::NamedImage& named : store.references()) {
    names[named.image_id].push_back(std::move(named.reference));
  }
  std::vector<ImagePtr> images = store.list();
  // The steps of a build may be of one second.
  std::stable_sort(images.begin(), images.end(), [](const ImagePtr& a, const ImagePtr& b) {
    return is_older(b->created, a->created);
  });
  json::array lines;
  for (const ImagePtr& image : images) {
    if (window.before && !is_older(image->created, *window.before)) continue;
    if (window.since && !is_older(*window.since, image->created)) continue;
    if (!filters.match_labels("label", labels_of(*image))) continue;
    std::vector<std::string> tags;
    std::vector<std::string> digests;
    for (const image::Reference& name : names[image->id]) {
      if (filters.has("reference") && !matches_reference(filters.values("reference"), name)) {
        continue;
      }
      (name.digest.empty() ? tags : digests).push_back(name.familiar());
    }
    const bool has_children = !store.children_of(image->id).empty();
    if (tags.empty() && digests.empty()) {
      if (has_children && (!all || dangling_only)) continue;
      if (filters.has("dangling") && !dangling_only) continue;
      if (filters.has("reference")) continue;
      digests = {"<none>@<none>"};
      tags = {"<none>:<none>"};
    } else if (dangling_only && (!tags.empty() || has_children)) {
      continue;
    }
    lines.push_back(summary(*image, tags, digests));
  }
  return lines;
}

Result<json::object> inspect_image(const ImageStore& store, const Image& image) {
  const json::object& config = image.config;
  json::object document;
  document["Id"] = image.id;
  document["RepoTags"] = to_array(image.tags);
  document["RepoDigests"] = to_array(image.digests);
  document["Parent"] = image.parent;
  document["Comment"] = text_of(config, "comment");
  document["Created"] = image.created;
  document["Container"] = text_of(config, "container");
  document["ContainerConfig"] =
      container::complete_image_config(object_of(config, "container_config"));
  document["DockerVersion"] = text_of(config, "docker_version");
  document["Author"] = text_of(config, "author");
  document["Config"] = container::complete_image_config(image.run_config());
  document["Architecture"] = text_of(config, "architecture");
  if (std::string variant = text_of(config, "variant"); !variant.empty()) {
    document["Variant"] = variant;
  }
  const std::string os = text_of(config, "os");
  document["Os"] = os.empty() ? "linux" : os;
  if (std::string version = text_of(config, "os.version"); !version.empty()) {
    document["OsVersion"] = version;
  }
  document["Size"] = image.size_bytes;
  document["VirtualSize"] = image.size_bytes;
  document["GraphDriver"] = graph_driver(store, image);
  json::object rootfs;
  rootfs["Type"] = "layers";
  if (!image.diff_ids.empty()) rootfs["Layers"] = to_array(image.diff_ids);
  document["RootFS"] = std::move(rootfs);
  json::object metadata;
  metadata["LastTagTime"] = last_tag_time(image);
  document["Metadata"] = std::move(metadata);
  return document;
}

json::array image_history(const ImageStore& store, const Image& image) {
  std::vector<json::object> lines;
  std::size_t layer = 0;
  for (const json::value& value : array_of(image.config, "history")) {
    if (!value.is_object()) continue;
    const json::object& entry = value.get_object();
    const bool is_empty = flag_of(entry, "empty_layer");
    std::uint64_t size = 0;
    if (!is_empty && layer < image.diff_ids.size()) {
      size = store.layer_size_bytes(image.diff_ids[layer++]);
    }
    json::object line;
    line["Comment"] = text_of(entry, "comment");
    line["Created"] = unix_seconds(text_of(entry, "created"));
    line["CreatedBy"] = text_of(entry, "created_by");
    line["Id"] = "<missing>";
    line["Size"] = size;
    line["Tags"] = nullptr;
    lines.push_back(std::move(line));
  }
  std::reverse(lines.begin(), lines.end());
  std::string id = image.id;
  for (json::object& line : lines) {
    const auto made = store.by_id(id);
    if (made.has_error()) break;
    line["Id"] = id;
    line["Tags"] = array_or_null((*made)->tags);
    id = (*made)->parent;
  }
  json::array result;
  for (json::object& line : lines) result.push_back(std::move(line));
  return result;
}

}  // namespace lab::engine::api
