// Names of images as people write them ("busybox", "192.168.50.4:5000/hello:1.0",
// "debian@sha256:...") and what they stand for. The rules are Docker's: the first component is a
// registry when it holds a '.' or ':' or is "localhost"; otherwise the registry is docker.io, where
// a single component belongs to "library".
#pragma once

#include <string>
#include <string_view>

#include "base/error.hpp"

namespace lab::engine::image {

inline constexpr std::string_view default_domain = "docker.io";
inline constexpr std::string_view default_tag = "latest";

struct Reference {
  std::string domain;  // "docker.io", "192.168.50.4:5000"
  std::string path;    // "library/busybox"
  std::string tag;     // may be empty
  std::string digest;  // "sha256:...", may be empty

  // "docker.io/library/busybox": the repository, in full.
  [[nodiscard]] std::string name() const;
  // "busybox", "team/app", "192.168.50.4:5000/hello": the repository as Docker shows it.
  [[nodiscard]] std::string familiar_name() const;
  // name() with ":tag" and "@digest", where present; parse_reference() inverts it.
  [[nodiscard]] std::string canonical() const;
  // familiar_name() with ":tag" and "@digest", where present.
  [[nodiscard]] std::string familiar() const;
  // Neither tag nor digest.
  [[nodiscard]] bool is_name_only() const { return tag.empty() && digest.empty(); }

  bool operator==(const Reference&) const = default;
};

// Adds nothing: "busybox" keeps an empty tag. Code::invalid_argument with Docker's texts ("invalid
// reference format", "invalid reference format: repository name must be lowercase").
[[nodiscard]] Result<Reference> parse_reference(std::string_view text);
// As above, and a name without tag and digest gets ":latest".
[[nodiscard]] Result<Reference> parse_reference_with_default_tag(std::string_view text);

// "sha256:" and 64 lower-case hexadecimal digits.
[[nodiscard]] bool is_digest(std::string_view text);
// 1 to 64 lower-case hexadecimal digits: may be a (short) id.
[[nodiscard]] bool is_hex_id(std::string_view text);
// The 64 digits of "sha256:...".
[[nodiscard]] std::string_view digest_hex(std::string_view digest);
// The 12 digits that Docker shows for an id.
[[nodiscard]] std::string short_id(std::string_view id);

}  // namespace lab::engine::image
