#include "engine/build/mounted_image.hpp"

#include "base/random.hpp"

namespace lab::engine::build {

Result<std::unique_ptr<MountedImage>> MountedImage::mount(const container::Containers& containers,
                                                          const image::ImagePtr& image) {
  std::vector<std::filesystem::path> lowers;
  if (image) {
    LAB_TRY(lowers, containers.services().images.lower_directories(*image));
  }
  // Named as a container's folder is: what nobody knows of these is removed at the next start.
  std::unique_ptr<MountedImage> mounted(new MountedImage(containers.rootfs(secure_random_hex(32))));
  LAB_CHECK(container::mount_rootfs(mounted->paths_, lowers));
  return mounted;
}

const std::filesystem::path& MountedImage::unmount() {
  container::unmount_rootfs(paths_);
  return paths_.upper;
}

MountedImage::~MountedImage() { static_cast<void>(container::remove_rootfs(paths_)); }

}  // namespace lab::engine::build
