// Compiled seccomp filters by profile. crun compiles a profile anew for every container, which
// takes it twice as long as all else that it does; what it compiled once is handed to it from then
// on.
#pragma once

#include <boost/json/object.hpp>
#include <filesystem>
#include <map>
#include <mutex>
#include <string>

namespace lab::engine::container {

// Thread-safe.
class SeccompFilters {
 public:
  // Adds the filter for the document's profile to an OCI document, where it is known. runc does not
  // look at it.
  void add_to(boost::json::object& spec) const;
  // Takes the filter that crun compiled for the document's profile, a file in its state folder.
  void learn(const boost::json::object& spec, const std::filesystem::path& file);

 private:
  mutable std::mutex mutex_;
  std::map<std::string, std::string> filters_;  // profile -> BPF program in base64
};

}  // namespace lab::engine::container
