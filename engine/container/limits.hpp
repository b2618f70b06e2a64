// What a container may be limited to: dockerd's checks of a HostConfig.
#pragma once

#include <boost/json/object.hpp>
#include <string>
#include <vector>

#include "base/error.hpp"

namespace lab::engine::container {

// Restart policy, memory, processors, block devices. Gives warnings for what this machine cannot
// do, and takes it out of the document. An update may name a swap limit alone.
[[nodiscard]] Result<std::vector<std::string>> check_limits(boost::json::object& host_config,
                                                            bool update);

}  // namespace lab::engine::container
