// The blocking half of ensure_image(): builds a recipe with mmdebstrap, fetches a cloud image, and
// knows where both lie below the cache.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <optional>
#include <string>

#include "vm/image.hpp"
#include "vm/recipe.hpp"

namespace lab::vm {

[[nodiscard]] std::optional<GuestImage> cached_recipe_image(
    const Recipe& recipe, const std::filesystem::path& cache_root);

// Blocks for about a minute. `progress` is called on the calling thread.
[[nodiscard]] Result<GuestImage> build_recipe_image(const Recipe& recipe,
                                                    const std::filesystem::path& cache_root,
                                                    const ImageProgress& progress);

// Where the build writes what its commands say; kept when it fails.
[[nodiscard]] std::filesystem::path build_log_path(const Recipe& recipe,
                                                   const std::filesystem::path& cache_root);

// The last step that the log names ("installing remaining packages inside the chroot"), or empty.
[[nodiscard]] std::string last_build_step(const std::filesystem::path& log);

// Whether the text of /etc/subuid or /etc/subgid gives the user a range.
[[nodiscard]] bool has_subordinate_ids(const std::string& text, const std::string& user, uid_t id);

[[nodiscard]] std::optional<GuestImage> cached_cloud_image(const ImageRequest& request,
                                                           const std::filesystem::path& cache_root);
[[nodiscard]] Result<GuestImage> fetch_cloud_image(const ImageRequest& request,
                                                   const std::filesystem::path& cache_root,
                                                   const ImageProgress& progress);

}  // namespace lab::vm
