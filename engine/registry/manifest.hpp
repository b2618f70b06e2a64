// Manifests of images: Docker's schema 2 and OCI's, and the lists of either.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"

namespace lab::engine::registry {

inline constexpr std::string_view docker_manifest =
    "application/vnd.docker.distribution.manifest.v2+json";
inline constexpr std::string_view docker_list =
    "application/vnd.docker.distribution.manifest.list.v2+json";
inline constexpr std::string_view docker_config = "application/vnd.docker.container.image.v1+json";
inline constexpr std::string_view docker_layer =
    "application/vnd.docker.image.rootfs.diff.tar.gzip";
inline constexpr std::string_view oci_manifest = "application/vnd.oci.image.manifest.v1+json";
inline constexpr std::string_view oci_index = "application/vnd.oci.image.index.v1+json";
inline constexpr std::string_view oci_config = "application/vnd.oci.image.config.v1+json";

struct Descriptor {
  std::string media_type;
  std::string digest;
  std::uint64_t size_bytes = 0;
};

struct Platform {
  std::string os;
  std::string architecture;
  std::string variant;
};

// One image.
struct Manifest {
  std::string media_type;
  Descriptor config;
  std::vector<Descriptor> layers;  // lowest first
};

// Several, one for each platform.
struct ManifestList {
  struct Entry {
    Descriptor descriptor;
    Platform platform;
  };
  std::string media_type;
  std::vector<Entry> entries;

  // The entry for linux on amd64; Code::not_found with Docker's text.
  [[nodiscard]] Result<Descriptor> for_this_machine() const;
};

// Whether `text` is a list, by its own mediaType, else by `content_type`, else by its members.
[[nodiscard]] Result<bool> is_manifest_list(std::string_view text, std::string_view content_type);
[[nodiscard]] Result<Manifest> parse_manifest(std::string_view text, std::string_view content_type);
[[nodiscard]] Result<ManifestList> parse_manifest_list(std::string_view text,
                                                       std::string_view content_type);

// A schema 2 manifest, in the bytes that Docker would write.
[[nodiscard]] std::string make_docker_manifest(const Descriptor& config,
                                               const std::vector<Descriptor>& layers);

}  // namespace lab::engine::registry
