// An image's files mounted with a writable layer of their own, for the steps of a build that run no
// container. A crash leaves what the containers' start takes away.
#pragma once

#include <filesystem>
#include <memory>

#include "base/error.hpp"
#include "engine/container/containers.hpp"

namespace lab::engine::build {

class MountedImage {
 public:
  // Null: no files. Blocks, as does the end of the object.
  [[nodiscard]] static Result<std::unique_ptr<MountedImage>> mount(
      const container::Containers& containers, const image::ImagePtr& image);
  MountedImage(const MountedImage&) = delete;
  MountedImage& operator=(const MountedImage&) = delete;
  ~MountedImage();

  [[nodiscard]] const std::filesystem::path& root() const { return paths_.merged; }
  // Ends the mount; the writable layer's folder, which goes with the object unless it is moved.
  [[nodiscard]] const std::filesystem::path& unmount();

 private:
  explicit MountedImage(container::RootfsPaths paths) : paths_(std::move(paths)) {}
  container::RootfsPaths paths_;
};

}  // namespace lab::engine::build
