// Guest images: what a machine's disk starts from. A recipe image is built here from the host's own
// configured package sources, once for each version of the recipe, and boots with its kernel and
// initrd given directly. A cloud image is a qcow2 file of the user's; it boots by its own boot
// loader and reads a NoCloud seed.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"

namespace lab::vm {

struct GuestImage {
  std::string id;                   // recipe: its hash; cloud image: sha256 of the file
  std::filesystem::path base_disk;  // shared and read-only; machines write to overlays on it
  std::string base_format;          // "raw" or "qcow2"
  std::uint64_t base_mib = 0;       // size that a guest sees; no machine's disk can be smaller
  std::filesystem::path kernel;     // empty for a cloud image
  std::filesystem::path initrd;     // empty for a cloud image
  [[nodiscard]] bool is_cloud() const { return kernel.empty(); }
};

// Exactly one of `recipe` and `cloud_image` is set.
struct ImageRequest {
  std::string recipe;       // "debian-12"
  std::string cloud_image;  // path of a qcow2 file, or an http(s) URL
  std::string sha256;       // of the cloud image, hexadecimal; required for a URL, checked if given
};

// One line for a person: "debian-12: installing packages". Called on the executor of the coroutine
// that awaits ensure_image().
using ImageProgress = std::function<void(std::string line)>;

// The image, built or downloaded below `cache_root`/images when it is not there yet. Builds of the
// same image at the same time (other processes too) are done once, the others wait for it; an
// interrupted build leaves nothing that a later one would take for whole. Errors:
// Code::not_found for an unknown recipe or a missing file, Code::invalid_argument for a checksum
// that does not match, else what the failed command said last.
[[nodiscard]] boost::asio::awaitable<Result<GuestImage>> ensure_image(
    ImageRequest request, std::filesystem::path cache_root, ImageProgress progress);

// Whether ensure_image() would have nothing to build; never blocks for long.
[[nodiscard]] bool image_is_cached(const ImageRequest& request,
                                   const std::filesystem::path& cache_root);

// The recipes there are: {"debian-12"}.
[[nodiscard]] std::vector<std::string> recipe_names();

}  // namespace lab::vm
