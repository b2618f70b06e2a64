// An image that is another one and a step more: what every instruction of a build and `docker
// commit` make.
#pragma once

#include <boost/json/object.hpp>
#include <filesystem>
#include <string>

#include "base/clock.hpp"
#include "base/error.hpp"
#include "engine/image/image_store.hpp"

namespace lab::engine::build {

// A folder for a layer to come; not there yet, and gone with the object unless the store took it.
class LayerFolder {
 public:
  explicit LayerFolder(const image::ImageStore& store);
  LayerFolder(const LayerFolder&) = delete;
  LayerFolder& operator=(const LayerFolder&) = delete;
  ~LayerFolder();
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

struct ImageStep {
  image::ImagePtr parent;                // null: from scratch
  boost::json::object config;            // the new image's run configuration
  boost::json::object container_config;  // of the container that did it; its Cmd is the history's
                                         // text
  std::string container_id;
  std::string author;
  std::string comment;
  std::string diff_id;  // empty: the step changed no file
};

// The new image's configuration, as dockerd writes it.
[[nodiscard]] std::string config_of_step(const ImageStep& step, WallTime now);

// Adds the image, without a name. Blocks.
[[nodiscard]] Result<image::ImagePtr> add_step(image::ImageStore& store, const ImageStep& step,
                                               WallTime now);

// Adds the writable layer `upper` of an overlay that is not mounted, and gives its diff id; empty
// if nothing is in it. The folder is taken away, or copied if it has to stay. Blocks.
enum class Upper : std::uint8_t { take, keep };
[[nodiscard]] Result<std::string> add_upper_layer(image::ImageStore& store,
                                                  const std::filesystem::path& upper, Upper what);

// --squash: the image with all layers above those of `base` (null: all) made one. Blocks.
[[nodiscard]] Result<image::ImagePtr> squash(image::ImageStore& store, const image::ImagePtr& image,
                                             const image::ImagePtr& base, WallTime now);

}  // namespace lab::engine::build
