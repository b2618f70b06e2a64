// The system calls that a container may make: Docker's default profile in the form of the OCI
// runtime specification.
#pragma once

#include <boost/json/object.hpp>
#include <set>
#include <string>

namespace lab::engine::container {

// `capabilities` ("CAP_CHOWN", ...) of the container widen what is allowed.
[[nodiscard]] boost::json::object default_seccomp_profile(
    const std::set<std::string>& capabilities);

// A profile in Docker's form (`--security-opt seccomp=FILE`: rules that hold with certain
// capabilities or architectures only) in the runtime's, for a container on this machine.
[[nodiscard]] boost::json::object runtime_seccomp_profile(
    const boost::json::object& profile, const std::set<std::string>& capabilities);

}  // namespace lab::engine::container
