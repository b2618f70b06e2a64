// An OCI image layout directory (oci-layout, index.json, blobs/sha256/HEX) as the catalogue writes
// it and the mirror serves it. Images in it have Docker's media types, which every engine reads.
// Writers exclude each other by a lock of their own; readers need none, as index.json is replaced
// in one step and names only blobs that are there.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"

namespace lab::provision {

inline constexpr std::string_view manifest_media_type =
    "application/vnd.docker.distribution.manifest.v2+json";
inline constexpr std::string_view config_media_type =
    "application/vnd.docker.container.image.v1+json";
inline constexpr std::string_view layer_media_type =
    "application/vnd.docker.image.rootfs.diff.tar.gzip";

struct Blob {
  std::string digest;  // "sha256:HEX"
  std::uint64_t size_bytes = 0;
};

// One tag of one image.
struct TaggedImage {
  std::string repository;  // "debian"
  std::string tag;         // "bookworm"
  Blob manifest;
  std::string media_type;
  std::string recipe;  // hash of what it was made from; empty in layouts that others made
};

class ImageLayout {
 public:
  explicit ImageLayout(std::filesystem::path folder) : folder_(std::move(folder)) {}

  [[nodiscard]] const std::filesystem::path& folder() const { return folder_; }
  [[nodiscard]] std::filesystem::path index_path() const { return folder_ / "index.json"; }
  // Empty for anything but "sha256:" and 64 lower-case hexadecimal digits.
  [[nodiscard]] std::filesystem::path blob_path(std::string_view digest) const;
  // There, and of that size.
  [[nodiscard]] bool has_blob(const Blob& blob) const;

  // Makes the folders and an empty index where they are missing.
  [[nodiscard]] Result<void> create();
  // A layout without index.json has no images.
  [[nodiscard]] Result<std::vector<TaggedImage>> images() const;

  // Durable when it returns.
  [[nodiscard]] Result<Blob> put(std::string_view content);
  // Takes the file over (by renaming: it must be on the same file system).
  [[nodiscard]] Result<void> adopt(const std::filesystem::path& file, const Blob& blob);
  // Puts `images`, all of one repository, in the place of what the repository had.
  [[nodiscard]] Result<void> replace_repository(std::string_view repository,
                                                const std::vector<TaggedImage>& images);
  // Removes blobs that no image uses and that are older than an hour: a pull that is under way may
  // still ask for younger ones.
  void remove_unused_blobs();

 private:
  std::filesystem::path folder_;
};

}  // namespace lab::provision
