// Where a lab keeps its things: everything below one cache folder, shared images beside one folder
// per lab. `destroy` removes the lab's folder and nothing else.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "base/error.hpp"

namespace lab::provision {

// The cache folder: $LAB_CACHE, else $XDG_CACHE_HOME/lab, else ~/.cache/lab. Absolute.
[[nodiscard]] std::filesystem::path cache_root();

// Guest images by recipe hash.
[[nodiscard]] inline std::filesystem::path images_directory(const std::filesystem::path& root) {
  return root / "images";
}
// The container image catalogue, an OCI image layout.
[[nodiscard]] inline std::filesystem::path catalogue_directory(const std::filesystem::path& root) {
  return root / "catalogue";
}

// "NAME-6hex": the hexadecimal digits are the first of the SHA-256 of the labfile's absolute path,
// so that two labs of one name in different folders don't meet.
[[nodiscard]] std::string lab_id(std::string_view lab_name, const std::filesystem::path& labfile);

// One lab's folder and the files that several parts know.
struct LabPaths {
  std::filesystem::path directory;  // CACHE/labs/ID

  [[nodiscard]] std::filesystem::path state() const { return directory / "state.json"; }
  [[nodiscard]] std::filesystem::path lock() const { return directory / "lock"; }
  // Held while the machine's shared folders are copied.
  [[nodiscard]] std::filesystem::path sync_lock(std::string_view machine) const {
    return directory / ("sync-" + std::string(machine) + ".lock");
  }
  [[nodiscard]] std::filesystem::path labd_config() const { return directory / "labd.json"; }
  [[nodiscard]] std::filesystem::path labd_socket() const { return directory / "labd.sock"; }
  [[nodiscard]] std::filesystem::path labd_log() const { return directory / "labd.log"; }
  [[nodiscard]] std::filesystem::path disks() const { return directory / "disks"; }
  [[nodiscard]] std::filesystem::path keys() const { return directory / "keys"; }
  [[nodiscard]] std::filesystem::path pki() const { return directory / "pki"; }
  [[nodiscard]] std::filesystem::path console(std::string_view machine) const {
    return directory / (std::string(machine) + ".console");
  }
  [[nodiscard]] std::filesystem::path known_hosts() const { return keys() / "known_hosts"; }
  [[nodiscard]] std::filesystem::path user_key() const { return keys() / "id_ed25519"; }
  [[nodiscard]] std::filesystem::path ssh_config() const { return directory / "ssh_config"; }
};

// The paths of the lab that `labfile` describes. Makes nothing.
[[nodiscard]] LabPaths lab_paths(const std::filesystem::path& root, std::string_view lab_name,
                                 const std::filesystem::path& labfile);

}  // namespace lab::provision
