// The catalogue of container images: built once from the host's configured package sources, as an
// ordinary user, and kept as one OCI layout (oci-layout, index.json, blobs/sha256) that a Mirror
// serves to the nodes. Each image has a recipe below provision/catalogue/; an image is built again
// only when its recipe, or that of the image below it, has changed.
#pragma once

#include <filesystem>
#include <functional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"

namespace lab::provision {

// "building debian:bookworm (once; takes a minute)". Called on the thread that called
// ensure_catalogue().
using CatalogueProgress = std::function<void(std::string_view message)>;

// The names of all recipes, sorted: "busybox", "debian", ..., "registry".
[[nodiscard]] std::vector<std::string> catalogue_names();

// Those among them that a lab has from its start, without network later; the others are built when
// a machine first pulls them.
[[nodiscard]] std::vector<std::string> initial_catalogue_names();

// Sees to it that the images of the recipes `names` (with those that they build upon) are in the
// layout `dir`, which is made if missing. Blocks: some milliseconds when all is there, minutes when
// everything must be built. Safe against other processes doing the same, and against being killed
// at any instant: an image is in index.json whole or not at all. An image that fails leaves the
// others in place; the error names it and ends with the last lines of its build. A stop that is
// asked for ends the build that runs and gives Code::cancelled.
[[nodiscard]] Result<void> ensure_catalogue(const std::filesystem::path& dir,
                                            const std::vector<std::string>& names,
                                            const CatalogueProgress& progress,
                                            const std::stop_token& stop = {});

}  // namespace lab::provision
