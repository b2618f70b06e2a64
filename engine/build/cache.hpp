// The build cache: the images of earlier steps. A step hits if the image before it has a child that
// the same container configuration made; what counts of a configuration is what counts for dockerd.
#pragma once

#include <boost/json/object.hpp>
#include <vector>

#include "base/error.hpp"
#include "engine/image/image_store.hpp"

namespace lab::engine::build {

// Whether two container configurations do the same step.
[[nodiscard]] bool is_same_step(const boost::json::object& a, const boost::json::object& b);

class BuildCache {
 public:
  // `sources` (--cache-from), if there are any, are the only images whose steps may hit.
  BuildCache(image::ImageStore& store, std::vector<image::ImagePtr> sources)
      : store_(store), sources_(std::move(sources)), local_only_(sources_.empty()) {}

  // The image that this step on `parent` (null: from scratch) made before, or null. A step known
  // only from the history of a source is made an image.
  [[nodiscard]] Result<image::ImagePtr> find(const image::ImagePtr& parent,
                                             const boost::json::object& container_config);

 private:
  [[nodiscard]] image::ImagePtr find_child(const image::ImagePtr& parent,
                                           const boost::json::object& container_config) const;
  [[nodiscard]] bool descends_from(image::ImagePtr image, const std::string& ancestor) const;
  [[nodiscard]] Result<image::ImagePtr> restore(const image::ImagePtr& parent,
                                                const image::ImagePtr& source,
                                                const boost::json::object& container_config) const;

  image::ImageStore& store_;
  std::vector<image::ImagePtr> sources_;
  bool local_only_;
};

}  // namespace lab::engine::build
