// A container's root file system: an overlay mount of the image's layers below a writable one, and
// what is looked up in it (users, groups). Paths inside a container are never followed outside.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <string>
#include <vector>

#include "base/error.hpp"

namespace lab::engine::container {

struct RootfsPaths {
  std::filesystem::path upper;
  std::filesystem::path work;
  std::filesystem::path merged;
};
[[nodiscard]] RootfsPaths rootfs_paths(const std::filesystem::path& data_root,
                                       const std::string& id);

// The lowest layer of every container, below its image: the mount points and files that containers
// have without being part of an image (/proc, /etc/hosts, /.dockerenv...), so that they are not in
// the writable layer either. Made if missing.
[[nodiscard]] Result<std::filesystem::path> make_base_layer(const std::filesystem::path& data_root);

// Creates the folders and mounts; a mount that is there already is used. `lowers` topmost first.
[[nodiscard]] Result<void> mount_rootfs(const RootfsPaths& paths,
                                        const std::vector<std::filesystem::path>& lowers);
void unmount_rootfs(const RootfsPaths& paths);
// With the writable layer.
[[nodiscard]] Result<void> remove_rootfs(const RootfsPaths& paths);

// Bytes in files below `folder`, hard links counted once.
[[nodiscard]] std::uint64_t folder_size_bytes(const std::filesystem::path& folder);

// A file below `root`, symbolic links resolved as if `root` were "/"; at most a megabyte.
[[nodiscard]] Result<std::string> read_file_in_root(const std::filesystem::path& root,
                                                    std::string_view path);
// The folder `path` below `root` as a path of the host that leads nowhere else; created with its
// parents when missing.
[[nodiscard]] Result<std::filesystem::path> folder_in_root(const std::filesystem::path& root,
                                                           std::string_view path, bool create);

// As folder_in_root(), for the container's working directory, with Docker's error when a file is in
// its place.
[[nodiscard]] Result<void> make_working_directory(const std::filesystem::path& root,
                                                  std::string_view path);

struct User {
  uid_t uid = 0;
  gid_t gid = 0;
  std::vector<gid_t> groups;  // additional
  std::string home;
};
// "", "user", "uid", "user:group", "uid:gid": looked up in the container's passwd and group files.
// Errors have Docker's texts ("unable to find user x: no matching entries in passwd file").
[[nodiscard]] Result<User> resolve_user(const std::filesystem::path& root, const std::string& user,
                                        const std::vector<std::string>& additional_groups);

}  // namespace lab::engine::container
