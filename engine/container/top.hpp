// The processes of a container, as `ps` would show them.
#pragma once

#include <boost/json/object.hpp>
#include <string>

#include "base/error.hpp"

namespace lab::engine::container {

// {"Titles": [...], "Processes": [[...], ...]}. "-ef" (or "ef") is answered from /proc; other
// arguments go to the host's ps, the output of which is reduced to the container's processes.
// Blocks.
[[nodiscard]] Result<boost::json::object> process_table(const std::string& container_id,
                                                        const std::string& ps_arguments);

}  // namespace lab::engine::container
