#include "engine/container/seccomp_filters.hpp"

#include <boost/json/serialize.hpp>

#include "base/digest.hpp"
#include "base/file.hpp"
#include "engine/util/json.hpp"

namespace lab::engine::container {

namespace json = boost::json;

namespace {

constexpr const char* annotation = "run.oci.seccomp_bpf_data";  // crun(1)
constexpr std::size_t filters_max = 64;
constexpr std::size_t filter_bytes_max = 4096 * 8;  // the kernel's limit of a program

// Empty without a profile, and for one that hands calls to another process: that takes more than
// the filter.
std::string profile_of(const json::object& spec) {
  const json::object& profile = object_of(object_of(spec, "linux"), "seccomp");
  if (profile.empty() || profile.contains("listenerPath")) return {};
  return json::serialize(profile);
}

}  // namespace

void SeccompFilters::add_to(json::object& spec) const {
  const std::string profile = profile_of(spec);
  const std::scoped_lock lock(mutex_);
  const auto found = filters_.find(profile);
  if (found == filters_.end()) return;
  json::object annotations = object_of(spec, "annotations");
  annotations[annotation] = found->second;
  spec["annotations"] = std::move(annotations);
}

void SeccompFilters::learn(const json::object& spec, const std::filesystem::path& file) {
  std::string profile = profile_of(spec);
  if (profile.empty() || object_of(spec, "annotations").contains(annotation)) return;
  const Result<std::string> program = read_file(file, filter_bytes_max);
  if (!program || program->empty()) return;
  const std::scoped_lock lock(mutex_);
  if (filters_.size() < filters_max) filters_[std::move(profile)] = base64_encode(*program);
}

}  // namespace lab::engine::container
