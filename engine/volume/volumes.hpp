// Named and anonymous volumes of the "local" driver: a folder DATA_ROOT/volumes/NAME/_data each,
// and a document that says the volume exists. Who uses a volume is known by the containers.
#pragma once

#include <boost/json/object.hpp>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "base/error.hpp"
#include "engine/state/document_store.hpp"
#include "engine/volume/local_mounts.hpp"

namespace lab::engine::volume {

struct Volume {
  std::string name;
  std::string created;
  boost::json::value labels;   // an object, or null
  boost::json::value options;  // an object, or null
  bool anonymous = false;
};

class Volumes {
 public:
  Volumes(std::filesystem::path data_root, DocumentStore& store, const Clock& clock)
      : root_(std::move(data_root) / "volumes"), store_(store), clock_(clock) {}

  // Reads what exists, and finishes removals that a crash interrupted; folders without a document
  // are left alone.
  [[nodiscard]] Result<void> load();

  // An empty name makes an anonymous one. Gives the volume that is there under this name. `driver`
  // is "local" or empty; the errors have Docker's texts.
  [[nodiscard]] Result<const Volume*> create(const std::string& name,
                                             const boost::json::value& labels,
                                             const boost::json::value& options,
                                             bool anonymous = false,
                                             const std::string& driver = "local");
  [[nodiscard]] const Volume* find(const std::string& name) const;
  [[nodiscard]] std::vector<const Volume*> list() const;
  // Its mount, if it is one: for who uses it.
  [[nodiscard]] MountOptions mount_options(const std::string& name) const;
  [[nodiscard]] LocalMounts& mounts() { return mounts_; }
  // The caller has checked that nobody uses it.
  [[nodiscard]] Result<void> remove(const std::string& name);

  [[nodiscard]] std::filesystem::path folder(const std::string& name) const {
    return root_ / name / "_data";
  }
  // As the API shows it.
  [[nodiscard]] boost::json::object settings(const Volume& volume) const;

 private:
  [[nodiscard]] Result<void> make_folder(const std::string& name) const;
  [[nodiscard]] Result<void> erase(const std::string& name);

  std::filesystem::path root_;
  DocumentStore& store_;
  const Clock& clock_;
  std::map<std::string, Volume> volumes_;
  LocalMounts mounts_;
};

// Fills the empty folder `to` with what `from` holds, with owners, modes, times and links. Does
// nothing when `to` holds something.
[[nodiscard]] Result<void> populate(const std::filesystem::path& from,
                                    const std::filesystem::path& to);

}  // namespace lab::engine::volume
