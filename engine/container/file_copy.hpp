// What `docker cp` does inside a container's files: looks at a path, writes it as a tar, unpacks a
// tar into a folder. Paths and links never lead out of the container. All calls block.
#pragma once

#include <boost/json/object.hpp>
#include <cstdint>
#include <string>

#include "base/clock.hpp"
#include "engine/container/containers.hpp"
#include "engine/layer/byte_source.hpp"
#include "engine/layer/tar_writer.hpp"
#include "engine/layer/tree.hpp"

namespace lab::engine::container {

// As in the header X-Docker-Container-Path-Stat. A link as the last component is looked at itself;
// a slash behind it follows it.
struct PathStat {
  std::string name;
  std::int64_t size_bytes = 0;
  std::uint32_t mode = 0;  // the bits of Go's os.FileMode
  WallTime mtime;
  std::string link_target;  // absolute in the container
};
[[nodiscard]] boost::json::object to_json(const PathStat& status);
// The bits of Go's os.FileMode for those of stat(2).
[[nodiscard]] std::uint32_t go_file_mode(std::uint32_t mode);

// Code::not_found when there is no such path.
[[nodiscard]] Result<PathStat> stat_path(layer::Tree& root, const std::string& path);
// Entries are named after the last component of `path`.
[[nodiscard]] Result<void> write_path(layer::Tree& root, const std::string& path,
                                      const layer::TarSink& sink);

struct ExtractOptions {
  std::string path;         // an existing folder
  bool keep_kinds = false;  // folders do not replace files, nor files folders
  bool as_user = false;     // everything belongs to the container's user, if it has one
  bool read_only_root = false;
  std::string user;
};
// `tar` may be compressed.
[[nodiscard]] Result<void> extract(layer::Tree& root, const ExtractOptions& options,
                                   layer::ByteSource& tar);

}  // namespace lab::engine::container
