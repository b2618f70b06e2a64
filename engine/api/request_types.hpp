// The shapes of the request bodies, as Docker declares them.
#pragma once

#include <string_view>

namespace lab::engine::api {

// Declarations for check_go_type(). The bodies: "runconfig.ContainerConfigWrapper",
// "container.UpdateConfig", "types.ExecConfig", "types.ExecStartCheck",
// "types.NetworkCreateRequest", "types.NetworkConnect", "types.NetworkDisconnect",
// "volume.VolumeCreateBody", "types.AuthConfig".
[[nodiscard]] std::string_view request_types();

}  // namespace lab::engine::api
