#include "engine/registry/manifest.hpp"

#include <boost/json/parse.hpp>

#include "engine/image/reference.hpp"
#include "engine/util/json.hpp"

namespace lab::engine::registry {

namespace json = boost::json;

namespace {

constexpr std::size_t layers_max = 1024;

Result<json::object> parse_object(std::string_view text) {
  boost::system::error_code failure;
  json::value parsed = json::parse(text, failure);
  if (failure || !parsed.is_object()) {
    return Error{Code::invalid_argument, "a manifest is not a JSON object"};
  }
  json::object object = std::move(parsed.get_object());
  const json::value* version = object.if_contains("schemaVersion");
  if (version == nullptr || !version->is_int64() || version->get_int64() != 2) {
    return Error{Code::unsupported,
                 "the manifest is not of schema version 2: older ones are not supported"};
  }
  return object;
}

Result<Descriptor> parse_descriptor(const json::value& value) {
  if (!value.is_object()) {
    return Error{Code::invalid_argument, "a manifest's descriptor is not an object"};
  }
  const json::object& object = value.get_object();
  Descriptor descriptor{text_of(object, "mediaType"), text_of(object, "digest"), 0};
  if (!image::is_digest(descriptor.digest)) {
    return make_error(Code::invalid_argument, "unsupported digest \"{}\" in a manifest",
                      descriptor.digest);
  }
  const json::value* size = object.if_contains("size");
  if (size == nullptr || !size->is_int64() || size->get_int64() < 0) {
    return make_error(Code::invalid_argument, "{} has no size in its manifest", descriptor.digest);
  }
  descriptor.size_bytes = static_cast<std::uint64_t>(size->get_int64());
  return descriptor;
}

std::string media_type_of(const json::object& object, std::string_view content_type) {
  std::string own = text_of(object, "mediaType");
  if (!own.empty()) return own;
  const std::string_view header = content_type.substr(0, content_type.find(';'));
  if (header.find("manifest") != std::string_view::npos ||
      header.find("index") != std::string_view::npos) {
    return std::string(header);
  }
  return std::string(object.contains("manifests") ? oci_index : oci_manifest);
}

Result<const json::array*> list_member(const json::object& object, std::string_view key) {
  const json::value* list = object.if_contains(key);
  if (list == nullptr || !list->is_array() || list->get_array().size() > layers_max) {
    return make_error(Code::invalid_argument, "a manifest has no list \"{}\"", key);
  }
  return &list->get_array();
}

std::string descriptor_text(const Descriptor& descriptor, std::string_view indent) {
  return fmt::format(
      "{{\n{0}   \"mediaType\": \"{1}\",\n{0}   \"size\": {2},\n{0}   \"digest\": \"{3}\"\n{0}}}",
      indent, descriptor.media_type, descriptor.size_bytes, descriptor.digest);
}

}  // namespace

Result<Descriptor> ManifestList::for_this_machine() const {
  for (const Entry& entry : entries) {
    if (entry.platform.os == "linux" && entry.platform.architecture == "amd64") {
      return entry.descriptor;
    }
  }
  // A list of one image that names no platform is taken for what it is.
  if (entries.size() == 1 && entries.front().platform.architecture.empty()) {
    return entries.front().descriptor;
  }
  return Error{Code::not_found,
               "no matching manifest for linux/amd64 in the manifest list entries"};
}

Result<bool> is_manifest_list(std::string_view text, std::string_view content_type) {
  LAB_TRY(const json::object object, parse_object(text));
  const std::string type = media_type_of(object, content_type);
  return type == docker_list || type == oci_index;
}

Result<Manifest> parse_manifest(std::string_view text, std::string_view content_type) {
  LAB_TRY(const json::object object, parse_object(text));
  Manifest manifest;
  manifest.media_type = media_type_of(object, content_type);
  if (manifest.media_type != docker_manifest && manifest.media_type != oci_manifest) {
    return make_error(Code::unsupported, "unsupported manifest media type \"{}\"",
                      manifest.media_type);
  }
  const json::value* config = object.if_contains("config");
  if (config == nullptr) return Error{Code::invalid_argument, "a manifest has no \"config\""};
  LAB_TRY(manifest.config, parse_descriptor(*config));
  LAB_TRY(const json::array* layers, list_member(object, "layers"));
  for (const json::value& layer : *layers) {
    LAB_TRY(Descriptor descriptor, parse_descriptor(layer));
    manifest.layers.push_back(std::move(descriptor));
  }
  return manifest;
}

Result<ManifestList> parse_manifest_list(std::string_view text, std::string_view content_type) {
  LAB_TRY(const json::object object, parse_object(text));
  ManifestList list;
  list.media_type = media_type_of(object, content_type);
  LAB_TRY(const json::array* manifests, list_member(object, "manifests"));
  for (const json::value& value : *manifests) {
    ManifestList::Entry entry;
    LAB_TRY(entry.descriptor, parse_descriptor(value));
    const json::value* platform = value.get_object().if_contains("platform");
    if (platform != nullptr && platform->is_object()) {
      const json::object& fields = platform->get_object();
      entry.platform = {text_of(fields, "os"), text_of(fields, "architecture"),
                        text_of(fields, "variant")};
    }
    list.entries.push_back(std::move(entry));
  }
  return list;
}

std::string make_docker_manifest(const Descriptor& config, const std::vector<Descriptor>& layers) {
  std::vector<std::string> texts;
  for (const Descriptor& layer : layers) {
    texts.push_back("      " + descriptor_text(layer, "      "));
  }
  const std::string list =
      texts.empty() ? "[]" : fmt::format("[\n{}\n   ]", fmt::join(texts, ",\n"));
  return fmt::format(
      "{{\n   \"schemaVersion\": 2,\n   \"mediaType\": \"{}\",\n   \"config\": {},\n"
      "   \"layers\": {}\n}}",
      docker_manifest, descriptor_text(config, "   "), list);
}

}  // namespace lab::engine::registry
