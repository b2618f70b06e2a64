// What a container sees mounted: bind mounts, volumes and tmpfs, from the three forms in which the
// API takes them (Binds, Mounts, the image's Volumes).
#pragma once

#include <boost/json/object.hpp>
#include <functional>
#include <string>
#include <vector>

#include "base/error.hpp"

namespace lab::engine::container {

struct MountPoint {
  std::string type;  // "bind", "volume" or "tmpfs"
  std::string name;  // of a volume
  std::string source;
  std::string destination;
  std::string mode;         // as given: "ro", "z"
  std::string propagation;  // of a bind: "rprivate"
  std::string options;      // of a tmpfs: "size=...,mode=..."
  bool writable = true;
  bool anonymous = false;       // a volume that goes with the container
  bool from_config = false;     // wanted by the image or by `-v PLACE`; known at creation only
  bool copy_from_image = true;  // an empty volume takes what the image has there
  bool make_source = false;     // a bind that creates a missing folder of the host
  bool listed = true;           // shown by inspect; `--tmpfs` is not
  // With which a volume is created that is not there; not kept.
  boost::json::object volume_labels;
  boost::json::object volume_options;
  std::string volume_driver;
};

[[nodiscard]] boost::json::object to_json(const MountPoint& mount);
[[nodiscard]] MountPoint mount_from_json(const boost::json::object& document);
// As in the inspect document's Mounts.
[[nodiscard]] boost::json::object mount_settings(const MountPoint& mount);

// The mounts that the documents ask for; volumes have their name (empty: anonymous) but no source
// yet. One destination twice is Code::invalid_argument "Duplicate mount point: /data".
[[nodiscard]] Result<std::vector<MountPoint>> requested_mounts(
    const boost::json::object& config, const boost::json::object& host_config);

// The mode behind a name of --volumes-from: "", "ro", "rw,z". Code::invalid_argument "invalid mode:
// zz".
[[nodiscard]] Result<bool> volumes_from_read_only(std::string_view mode);

// Cleans an absolute path as Go's filepath.Clean does: "/a//b/../c/" -> "/a/c".
[[nodiscard]] std::string clean_path(std::string_view path);

}  // namespace lab::engine::container
