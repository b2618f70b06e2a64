// What has to be done to a folder on a machine so that it shows a folder of this host, decided from
// three pictures: the folder here, the folder there, and the manifest of what was put there.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "provision/sync/tree.hpp"

namespace lab::provision {

// A thing that was put on the machine, as it was here then.
struct KnownEntry {
  TreeEntry entry;
  std::string sha256;  // of a file's content
};
using SyncManifest = std::map<std::string, KnownEntry>;

// A manifest as bytes. What does not parse is left out, and so counts as never sent.
[[nodiscard]] std::string format_sync_manifest(const SyncManifest& manifest);
[[nodiscard]] SyncManifest parse_sync_manifest(std::string_view bytes);

// The output of `find -printf listing_format`, up to the end or a record that is `listing_end`,
// which `bytes` then begins behind. Times are whole seconds.
inline constexpr std::string_view listing_format = R"(%y %m %s %T@ %P\0%l\0)";
inline constexpr std::string_view listing_end = "end";
[[nodiscard]] Tree parse_listing(std::string_view& bytes);

struct SyncPlan {
  // In the order in which they are done; paths from the folder.
  std::vector<std::string> removed_files;     // and links
  std::vector<std::string> removed_folders;   // the deepest first; stay when something is in them
  std::vector<std::string> replaced_folders;  // likewise, but something else takes their place
  std::vector<std::string> new_folders;       // parents first
  std::vector<std::string> copied;            // files and links
  std::vector<std::string> adjusted;          // files and folders: mode and time only
  // Afterwards; without the hashes of files that are copied.
  SyncManifest manifest;
  bool manifest_changed = false;

  [[nodiscard]] bool touches_machine() const;
};

// Gives the SHA-256 of a file here; asked only about files whose time has changed.
using ContentHash = std::function<Result<std::string>(const std::string& path)>;

// What the machine put into the folder itself stays, unless it is in the way; likewise what was put
// there and is excluded now.
[[nodiscard]] Result<SyncPlan> plan_sync(const Tree& wanted, const Exclude& exclude,
                                         const SyncManifest& known, const Tree& found,
                                         const ContentHash& hash);

}  // namespace lab::provision
