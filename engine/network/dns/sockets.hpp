// The sockets of a container's name server: at 127.0.0.11, inside the container's network
// namespace, on a port that leaves 53 to the container. Rules in the namespace redirect 53 to it.
//
// The monitor of a container is started with these sockets open and holds them, without using
// them, as long as the container runs. So an engine that starts again gets them back with the
// questions that came meanwhile: while the engine is away, answers are late, not wrong.
#pragma once

#include <sys/types.h>

#include <optional>

#include "base/error.hpp"
#include "base/file.hpp"
#include "engine/network/address.hpp"

namespace lab::engine::network::dns {

[[nodiscard]] const IpAddress& server_address();  // 127.0.0.11

struct Sockets {
  Fd udp;
  Fd tcp;  // listening
};
// In the network namespace of the calling thread: opens, and writes the rules. Blocks.
[[nodiscard]] Result<Sockets> open_sockets();
// Copies of those that the process has open. Blocks.
[[nodiscard]] std::optional<Sockets> recover_sockets(pid_t holder);

}  // namespace lab::engine::network::dns
