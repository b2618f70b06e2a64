#include "engine/build/cache.hpp"

#include <boost/json/serialize.hpp>

#include "engine/container/config.hpp"
#include "engine/util/json.hpp"

namespace lab::engine::build {

namespace json = boost::json;
using image::ImagePtr;

namespace {

bool same_texts(const json::object& a, const json::object& b, std::string_view key) {
  return texts_of(a, key) == texts_of(b, key);
}

std::string created_by(const json::object& container_config) {
  return fmt::format("{}", fmt::join(texts_of(container_config, "Cmd"), " "));
}

// `source` was made by the steps of `parent` and more.
bool begins_with(const image::Image& source, const ImagePtr& parent) {
  const json::array& steps = array_of(source.config, "history");
  if (steps.empty()) return false;
  if (!parent) return true;
  const json::array& begun = array_of(parent->config, "history");
  if (begun.empty() && parent->diff_ids.empty()) return true;
  return begun.size() < steps.size() && parent->diff_ids.size() <= source.diff_ids.size() &&
         std::equal(begun.begin(), begun.end(), steps.begin()) &&
         std::equal(parent->diff_ids.begin(), parent->diff_ids.end(), source.diff_ids.begin());
}

// The layer that step `wanted` made, or empty.
std::string layer_of_step(const image::Image& image, std::size_t wanted) {
  const json::array& steps = array_of(image.config, "history");
  std::size_t layer = 0;
  for (std::size_t step = 0; step <= wanted && step < steps.size(); ++step) {
    if (!steps[step].is_object() || flag_of(steps[step].get_object(), "empty_layer")) continue;
    if (step == wanted) return layer < image.diff_ids.size() ? image.diff_ids[layer] : "";
    ++layer;
  }
  return {};
}

}  // namespace

bool is_same_step(const json::object& a, const json::object& b) {
  if (flag_of(a, "OpenStdin") || flag_of(b, "OpenStdin")) return false;
  for (const char* key : {"AttachStdout", "AttachStderr", "Tty"}) {
    if (flag_of(a, key) != flag_of(b, key)) return false;
  }
  return text_of(a, "User") == text_of(b, "User") && same_texts(a, b, "Cmd") &&
         same_texts(a, b, "Env") && same_texts(a, b, "Entrypoint") &&
         object_of(a, "Labels") == object_of(b, "Labels") &&
         object_of(a, "ExposedPorts") == object_of(b, "ExposedPorts") &&
         object_of(a, "Volumes") == object_of(b, "Volumes");
}

ImagePtr BuildCache::find_child(const ImagePtr& parent,
                                const json::object& container_config) const {
  ImagePtr newest;
  for (const std::string& id : store_.children_of(parent ? parent->id : "")) {
    auto child = store_.by_id(id);
    if (!child) continue;  // removed meanwhile
    const json::object& made_by = object_of((*child)->config, "container_config");
    if (made_by.empty() || !is_same_step(made_by, container_config)) continue;
    if (!newest || newest->created < (*child)->created) newest = std::move(*child);
  }
  return newest;
}

bool BuildCache::descends_from(ImagePtr image, const std::string& ancestor) const {
  while (image) {
    if (image->id == ancestor) return true;
    auto parent = store_.by_id(image->parent);
    image = parent ? *parent : nullptr;
  }
  return false;
}

Result<ImagePtr> BuildCache::restore(const ImagePtr& parent, const ImagePtr& source,
                                     const json::object& container_config) const {
  const std::size_t step = parent ? array_of(parent->config, "history").size() : 0;
  json::array history;
  std::vector<std::string> diff_ids;
  if (parent) {
    history = array_of(parent->config, "history");
    diff_ids = parent->diff_ids;
  }
  history.push_back(array_of(source->config, "history").at(step));
  if (std::string layer = layer_of_step(*source, step); !layer.empty())
    diff_ids.push_back(std::move(layer));
  json::object config = source->config;
  config.erase("container");
  config.erase("container_config");
  config["config"] = container::complete_image_config(container_config);
  config["created"] = text_of(history.back().as_object(), "created");
  config["history"] = std::move(history);
  config["rootfs"] = json::object{{"type", "layers"}, {"diff_ids", to_array(diff_ids)}};
  image::ImageStore::NewImage image;
  image.config_text = json::serialize(config);
  if (parent) image.parent = parent->id;
  return store_.add_image(image);
}

Result<ImagePtr> BuildCache::find(const ImagePtr& parent, const json::object& container_config) {
  ImagePtr local = find_child(parent, container_config);
  if (local_only_) return local;
  for (const ImagePtr& source : sources_) {
    if (local && descends_from(source, local->id)) return local;
  }
  const std::size_t step = parent ? array_of(parent->config, "history").size() : 0;
  for (const ImagePtr& source : sources_) {
    if (!begins_with(*source, parent)) continue;
    const json::array& steps = array_of(source->config, "history");
    if (!steps.at(step).is_object() ||
        text_of(steps.at(step).get_object(), "created_by") != created_by(container_config))
      continue;
    const ImagePtr chosen = source;
    if (steps.size() == step + 1) return chosen;
    sources_ = {chosen};  // the steps of one image only
    return restore(parent, chosen, container_config);
  }
  return ImagePtr();
}

}  // namespace lab::engine::build
