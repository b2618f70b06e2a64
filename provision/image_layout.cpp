#include "provision/image_layout.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <boost/json.hpp>
#include <chrono>
#include <set>

#include "base/digest.hpp"
#include "base/file.hpp"

namespace lab::provision {

namespace json = boost::json;
namespace fs = std::filesystem;

namespace {

constexpr std::string_view name_annotation = "org.opencontainers.image.ref.name";
constexpr std::string_view recipe_annotation = "swarmlab.recipe";

std::string string_at(const json::object& object, std::string_view key) {
  const json::value* value = object.if_contains(key);
  return value != nullptr && value->is_string() ? std::string(value->get_string()) : std::string();
}

std::uint64_t number_at(const json::object& object, std::string_view key) {
  const json::value* value = object.if_contains(key);
  if (value == nullptr) return 0;
  boost::system::error_code error;
  auto number = value->to_number<std::uint64_t>(error);
  return error ? 0 : number;
}

// An entry of index.json; none when it names no tag.
std::optional<TaggedImage> parse_entry(const json::value& value) {
  if (!value.is_object()) return {};
  const json::object& object = value.get_object();
  const json::value* annotations = object.if_contains("annotations");
  if (annotations == nullptr || !annotations->is_object()) return {};
  const std::string name = string_at(annotations->get_object(), name_annotation);
  const std::size_t colon = name.rfind(':');
  if (colon == std::string::npos) return {};
  TaggedImage image;
  image.repository = name.substr(0, colon);
  image.tag = name.substr(colon + 1);
  image.manifest = Blob{string_at(object, "digest"), number_at(object, "size")};
  image.media_type = string_at(object, "mediaType");
  image.recipe = string_at(annotations->get_object(), recipe_annotation);
  return image;
}

json::object format_entry(const TaggedImage& image) {
  json::object annotations;
  annotations[name_annotation] = image.repository + ":" + image.tag;
  if (!image.recipe.empty()) annotations[recipe_annotation] = image.recipe;
  return {{"mediaType", image.media_type},
          {"digest", image.manifest.digest},
          {"size", image.manifest.size_bytes},
          {"annotations", std::move(annotations)}};
}

Result<void> sync_path(const fs::path& path, int flags) {
  Fd fd(open(path.c_str(), flags | O_CLOEXEC));
  if (!fd || fsync(fd.get()) != 0) {
    return errno_error(errno, fmt::format("fsync of {}", path.string()));
  }
  return {};
}

// Digests that a manifest names: its config and layers.
void collect_digests(const fs::path& manifest, std::set<std::string>& used) {
  Result<std::string> text = read_file(manifest);
  if (!text) return;
  boost::system::error_code error;
  json::value value = json::parse(*text, error);
  if (error || !value.is_object()) return;
  const json::object& object = value.get_object();
  if (const json::value* config = object.if_contains("config"); config && config->is_object()) {
    used.insert(string_at(config->get_object(), "digest"));
  }
  if (const json::value* layers = object.if_contains("layers"); layers && layers->is_array()) {
    for (const json::value& layer : layers->get_array()) {
      if (layer.is_object()) used.insert(string_at(layer.get_object(), "digest"));
    }
  }
}

}  // namespace

fs::path ImageLayout::blob_path(std::string_view digest) const {
  constexpr std::string_view prefix = "sha256:";
  if (!digest.starts_with(prefix)) return {};
  const std::string_view hex = digest.substr(prefix.size());
  const bool well_formed =
      hex.size() == 64 && hex.find_first_not_of("0123456789abcdef") == std::string_view::npos;
  return well_formed ? folder_ / "blobs" / "sha256" / hex : fs::path();
}

bool ImageLayout::has_blob(const Blob& blob) const {
  const fs::path path = blob_path(blob.digest);
  std::error_code error;
  return !path.empty() && fs::file_size(path, error) == blob.size_bytes && !error;
}

Result<void> ImageLayout::create() {
  LAB_CHECK(make_directories(folder_ / "blobs" / "sha256"));
  if (!fs::exists(folder_ / "oci-layout")) {
    LAB_CHECK(write_file_durably(folder_ / "oci-layout", R"({"imageLayoutVersion":"1.0.0"})"));
  }
  if (!fs::exists(index_path())) {
    LAB_CHECK(write_file_durably(index_path(), R"({"schemaVersion":2,"manifests":[]})"));
  }
  return {};
}

Result<std::vector<TaggedImage>> ImageLayout::images() const {
  std::vector<TaggedImage> images;
  Result<std::string> text = read_file(index_path());
  if (!text) {
    if (text.error().code == Code::not_found) return images;
    return text.error();
  }
  boost::system::error_code error;
  json::value value = json::parse(*text, error);
  const json::value* manifests = nullptr;
  if (!error && value.is_object()) manifests = value.get_object().if_contains("manifests");
  if (manifests == nullptr || !manifests->is_array()) {
    return make_error(Code::internal, "{} is not an OCI image index; remove the folder {}",
                      index_path().string(), folder_.string());
  }
  for (const json::value& entry : manifests->get_array()) {
    if (auto image = parse_entry(entry)) images.push_back(std::move(*image));
  }
  return images;
}

Result<Blob> ImageLayout::put(std::string_view content) {
  Blob blob{"sha256:" + sha256_hex(content), content.size()};
  LAB_CHECK(write_file_durably(blob_path(blob.digest), content));
  return blob;
}

Result<void> ImageLayout::adopt(const fs::path& file, const Blob& blob) {
  LAB_CHECK(sync_path(file, O_RDONLY));
  const fs::path target = blob_path(blob.digest);
  if (rename(file.c_str(), target.c_str()) != 0) {
    return errno_error(errno, fmt::format("renaming {} to {}", file.string(), target.string()));
  }
  return sync_path(target.parent_path(), O_RDONLY | O_DIRECTORY);
}

Result<void> ImageLayout::replace_repository(std::string_view repository,
                                             const std::vector<TaggedImage>& images) {
  LAB_TRY(std::vector<TaggedImage> all, this->images());
  std::erase_if(all, [&](const TaggedImage& image) { return image.repository == repository; });
  all.insert(all.end(), images.begin(), images.end());
  json::array manifests;
  for (const TaggedImage& image : all) manifests.push_back(format_entry(image));
  json::object index{{"schemaVersion", 2}, {"manifests", std::move(manifests)}};
  return write_file_durably(index_path(), json::serialize(index));
}

void ImageLayout::remove_unused_blobs() {
  Result<std::vector<TaggedImage>> all = images();
  if (!all) return;
  std::set<std::string> used;
  for (const TaggedImage& image : *all) {
    used.insert(image.manifest.digest);
    collect_digests(blob_path(image.manifest.digest), used);
  }
  std::error_code error;
  const auto oldest = fs::file_time_type::clock::now() - std::chrono::hours(1);
  for (const auto& entry : fs::directory_iterator(folder_ / "blobs" / "sha256", error)) {
    if (used.contains("sha256:" + entry.path().filename().string())) continue;
    const auto written = entry.last_write_time(error);
    if (!error && written < oldest) fs::remove(entry.path(), error);
  }
}

}  // namespace lab::provision
